import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { PostgresStartError } from './start-error.js'

/** Whom the server runs as: PostgreSQL refuses to run as root, and needs a user that has a name. */
export interface ServerUser {
  readonly uid: number
  readonly gid: number
}

/**
 * `undefined`: as we do. For root it is who owns the data already, else `nobody`.
 * @throws PostgresStartError NO_USER, DATA_DIRECTORY
 */
export function serverUser(dataDirectory: string): ServerUser | undefined {
  const uid = process.getuid?.()
  if (uid === undefined) return undefined
  const owner = statSync(dataDirectory, { throwIfNoEntry: false })
  if (uid !== 0) {
    if (owner !== undefined && owner.uid !== uid)
      throw new PostgresStartError(
        'DATA_DIRECTORY',
        `${dataDirectory} belongs to user ${owner.uid}, and this is user ${uid}: start as its owner, or choose another data directory`,
      )
    return undefined
  }
  const users = namedUsers()
  if (owner !== undefined && owner.uid !== 0) {
    if (!users.some((user) => user.uid === owner.uid))
      throw new PostgresStartError(
        'NO_USER',
        `${dataDirectory} belongs to user ${owner.uid}, who is not in /etc/passwd: PostgreSQL needs a user with a name`,
      )
    return { uid: owner.uid, gid: owner.gid }
  }
  const user = users.find(({ name }) => name === 'nobody') ?? users.find(({ name }) => name === 'postgres')
  if (user === undefined)
    throw new PostgresStartError(
      'NO_USER',
      'PostgreSQL does not run as root, and there is no user nobody or postgres to run it as: start as an ordinary user',
    )
  return { uid: user.uid, gid: user.gid }
}

/** True when the user can enter the directory, whatever modes and lists of rights say on the way. */
export function canEnter(user: ServerUser | undefined, directory: string): boolean {
  const { status } = spawnSync('/bin/sh', ['-c', 'cd -- "$1" && test -r .', 'sh', directory], {
    cwd: '/',
    stdio: 'ignore',
    ...user,
  })
  return status === 0
}

function namedUsers(): { readonly name: string; readonly uid: number; readonly gid: number }[] {
  return readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length >= 4)
    .map(([name, , uid, gid]) => ({ name: name!, uid: Number(uid), gid: Number(gid) }))
}
