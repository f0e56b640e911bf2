import { readFile } from 'node:fs/promises'
import { messageOf, unreachable } from '@sluice/foundation'
import { ADMIN_USAGE, type AdminCommand, AdminUsageError, parseAdminArguments } from './admin-command-line.js'
import type { AdminRequest, AdminResponse, AdminValue } from './admin-protocol.js'
import { explainRecovery, forceRecovery } from './force-recovery.js'
import type { NodeAddress } from './node-address.js'
import type { TransportTls } from '../transport/tls.js'

/** How to reach a node as an operator. */
export interface AdminTarget {
  readonly address: NodeAddress
  readonly clusterName: string
  readonly secret: Uint8Array | undefined
  readonly tls: TransportTls | undefined
  readonly timeoutMs: number
}

/** What the command needs of the world. */
export interface AdminWorld {
  ask(target: AdminTarget, request: AdminRequest): Promise<AdminResponse>
  out(text: string): void
  err(text: string): void
}

export const AdminExit = { DONE: 0, FAILED: 1, USAGE: 2 } as const
export type AdminExit = (typeof AdminExit)[keyof typeof AdminExit]

/** Runs one command line; never throws. The result is the process's exit code. */
export async function runAdmin(args: readonly string[], world: AdminWorld): Promise<AdminExit> {
  let json = args.includes('--json')
  try {
    const command = parseAdminArguments(args)
    if (command.kind === 'help') {
      world.out(ADMIN_USAGE)
      return AdminExit.DONE
    }
    json = command.json
    return command.kind === 'request' ? await ask(command, world) : await recover(command, world)
  } catch (error) {
    const isUsage = error instanceof AdminUsageError
    if (json) world.out(jsonLine({ kind: 'failed', message: messageOf(error) }))
    else world.err(`raft-admin: ${messageOf(error)}\n${isUsage ? `\n${ADMIN_USAGE}` : ''}`)
    return isUsage ? AdminExit.USAGE : AdminExit.FAILED
  }
}

async function ask(command: AdminCommand & { kind: 'request' }, world: AdminWorld): Promise<AdminExit> {
  const { connect, clusterName, timeoutMs } = command
  const secret = command.secretFile === undefined ? undefined : await readSecret(command.secretFile)
  const tls = command.tls === undefined ? undefined : await readTls(command.tls)
  const response = await world.ask({ address: connect, clusterName, secret, tls, timeoutMs }, command.request)
  if (command.json) world.out(jsonLine(response))
  else if (response.kind === 'ok') world.out(`${response.message}\n${lines(response.values)}`)
  else world.err(`raft-admin: refused (${response.code}): ${response.message}\n`)
  switch (response.kind) {
    case 'ok':
      return AdminExit.DONE
    case 'refused':
      return AdminExit.FAILED
    default:
      return unreachable(response)
  }
}

async function recover(
  command: AdminCommand & { kind: 'force-recovery' },
  world: AdminWorld,
): Promise<AdminExit> {
  const { dataDirectory, survivors, accepted } = command
  const report = await forceRecovery({ dataDirectory, survivors, acceptLoss: accepted })
  if (command.json) world.out(jsonLine({ kind: accepted ? 'ok' : 'not-accepted', ...report }))
  else world.out(`${explainRecovery(report)}\n`)
  if (accepted) {
    if (!command.json) world.out(`Done: start ${report.node}, then the other survivors.\n`)
    return AdminExit.DONE
  }
  world.err(
    'raft-admin: nothing was changed; to go on, add --i-accept-that-acknowledged-entries-may-be-lost\n',
  )
  return AdminExit.FAILED
}

/** A line break at the end is an editor's, not the secret's. */
async function readSecret(path: string): Promise<Uint8Array> {
  const bytes = await readFile(path)
  let end = bytes.length
  while (end > 0 && (bytes[end - 1] === 10 || bytes[end - 1] === 13)) end -= 1
  if (end === 0) throw new AdminUsageError(`${path} holds no secret`)
  return Uint8Array.from(bytes.subarray(0, end))
}

async function readTls(files: { ca: string; cert: string; key: string }): Promise<TransportTls> {
  const [ca, cert, key] = await Promise.all(
    [files.ca, files.cert, files.key].map((path) => readFile(path, 'utf8')),
  )
  return { ca: ca!, cert: cert!, key: key! }
}

function lines(values: Readonly<Record<string, AdminValue>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}: ${value ?? 'none'}\n`)
    .join('')
}

function jsonLine(value: object): string {
  return `${JSON.stringify(value)}\n`
}
