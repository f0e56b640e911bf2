import { type ChildProcess, spawn, spawnSync, type StdioOptions } from 'node:child_process'
import { existsSync } from 'node:fs'
import { CHILD_ENVIRONMENT } from './environment.js'
import type { ServerUser } from './server-user.js'

const SETPRIV = '/usr/bin/setpriv'
let dyingWithParent: boolean | undefined

/**
 * Starts a program as the user, in a session of its own: an interrupt typed at the terminal reaches us
 * alone. Where the system can (util-linux), the program is interrupted when we die, however we die.
 */
export function launch(
  program: string,
  args: readonly string[],
  {
    user,
    stdio,
    cwd,
  }: { readonly user: ServerUser | undefined; readonly stdio: StdioOptions; readonly cwd: string },
): ChildProcess {
  const common = { cwd, env: CHILD_ENVIRONMENT, stdio, detached: true }
  if (!canDieWithParent()) return spawn(program, args, { ...common, ...user })
  // The signal is asked for after the change of user, which would forget it.
  const identity = user === undefined ? [] : [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups']
  return spawn(SETPRIV, [...identity, '--pdeathsig', 'INT', '--', program, ...args], common)
}

function canDieWithParent(): boolean {
  dyingWithParent ??=
    process.platform === 'linux' &&
    existsSync(SETPRIV) &&
    spawnSync(SETPRIV, ['--pdeathsig', 'INT', '--', '/bin/true'], { env: CHILD_ENVIRONMENT }).status === 0
  return dyingWithParent
}
