import { parseArgs } from 'node:util'
import { messageOf } from '@sluice/foundation'
import { type AdminRequest, isVersion } from './admin-protocol.js'
import { type NodeAddress, parseNodeAddress } from './node-address.js'

/** What the command line asks for. Files are paths, not yet read. */
export type AdminCommand =
  | {
      readonly kind: 'request'
      readonly connect: NodeAddress
      readonly request: AdminRequest
      readonly clusterName: string
      readonly secretFile: string | undefined
      readonly tls: { readonly ca: string; readonly cert: string; readonly key: string } | undefined
      readonly timeoutMs: number
      readonly json: boolean
    }
  | {
      readonly kind: 'force-recovery'
      readonly dataDirectory: string
      readonly survivors: readonly NodeAddress[]
      readonly accepted: boolean
      readonly json: boolean
    }
  | { readonly kind: 'help' }

/** The command line is wrong; nothing was done. */
export class AdminUsageError extends Error {
  override readonly name = 'AdminUsageError'
}

export const ADMIN_USAGE = `usage:
  raft-admin --connect HOST:PORT [options] status
  raft-admin --connect HOST:PORT [options] add HOST:PORT
  raft-admin --connect HOST:PORT [options] remove HOST:PORT
  raft-admin --connect HOST:PORT [options] transfer HOST:PORT
  raft-admin --connect HOST:PORT [options] set-version N
  raft-admin --connect HOST:PORT [options] compact
  raft-admin --data DIR force-recovery --survivors HOST:PORT[,HOST:PORT…]
             --i-accept-that-acknowledged-entries-may-be-lost

options:
  --cluster NAME       name of the cluster (default: default)
  --secret-file FILE   the cluster's secret
  --tls-ca FILE --tls-cert FILE --tls-key FILE
                       certificates, PEM; all three or none
  --timeout-ms N       how long to wait for the answer (default 10000)
  --json               print JSON

A node that is contacted cannot be removed: contact another one.
force-recovery works on the data directory of a stopped node whose group lost its majority for good. It
makes the survivors the only voters. Entries that only the lost nodes had are gone, also acknowledged ones.
exit codes: 0 done, 1 refused or failed, 2 wrong usage
`

const OPTIONS = {
  connect: { type: 'string' },
  data: { type: 'string' },
  cluster: { type: 'string' },
  'secret-file': { type: 'string' },
  'tls-ca': { type: 'string' },
  'tls-cert': { type: 'string' },
  'tls-key': { type: 'string' },
  'timeout-ms': { type: 'string' },
  survivors: { type: 'string' },
  'i-accept-that-acknowledged-entries-may-be-lost': { type: 'boolean' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

const TIMEOUT_MS = 10_000
const TIMEOUT_MS_MAX = 3_600_000

type Values = ReturnType<typeof parseOptions>['values']

/**
 * Reads the arguments after the program's name.
 * @throws AdminUsageError
 */
export function parseAdminArguments(args: readonly string[]): AdminCommand {
  const { values, positionals } = parseOptions(args)
  if (values.help === true) return { kind: 'help' }
  const [command, ...rest] = positionals
  if (command === undefined) throw new AdminUsageError('a command is missing')
  return command === 'force-recovery' ? forceRecovery(values, rest) : request(values, command, rest)
}

function parseOptions(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, strict: true })
  } catch (error) {
    throw new AdminUsageError(messageOf(error), { cause: error })
  }
}

function request(values: Values, command: string, rest: readonly string[]): AdminCommand {
  if (values.connect === undefined) throw new AdminUsageError(`'${command}' needs --connect HOST:PORT`)
  for (const option of ['data', 'survivors', 'i-accept-that-acknowledged-entries-may-be-lost'] as const)
    if (values[option] !== undefined) throw new AdminUsageError(`--${option} is for force-recovery only`)
  return {
    kind: 'request',
    connect: address(values.connect),
    request: requestOf(command, rest),
    clusterName: values.cluster ?? 'default',
    secretFile: values['secret-file'],
    tls: tlsOf(values),
    timeoutMs: timeoutOf(values['timeout-ms']),
    json: values.json === true,
  }
}

function requestOf(command: string, rest: readonly string[]): AdminRequest {
  switch (command) {
    case 'status':
    case 'compact':
      if (rest.length > 0) throw new AdminUsageError(`'${command}' takes no argument`)
      return { kind: command }
    case 'add':
    case 'remove':
    case 'transfer':
      return { kind: command, address: address(only(command, rest, 'HOST:PORT')).text }
    case 'set-version': {
      const text = only(command, rest, 'N')
      const version = /^[0-9]+$/.test(text) ? Number(text) : undefined
      if (!isVersion(version)) throw new AdminUsageError(`'${text}' is no code version`)
      return { kind: command, version }
    }
    default:
      throw new AdminUsageError(`'${command}' is no command`)
  }
}

function forceRecovery(values: Values, rest: readonly string[]): AdminCommand {
  if (rest.length > 0) throw new AdminUsageError("'force-recovery' takes no argument")
  if (values.connect !== undefined)
    throw new AdminUsageError('force-recovery works on a stopped node: --data DIR, not --connect')
  if (values.data === undefined) throw new AdminUsageError("'force-recovery' needs --data DIR")
  if (values.survivors === undefined)
    throw new AdminUsageError("'force-recovery' needs --survivors HOST:PORT,…")
  return {
    kind: 'force-recovery',
    dataDirectory: values.data,
    survivors: values.survivors.split(',').map((text) => address(text.trim())),
    accepted: values['i-accept-that-acknowledged-entries-may-be-lost'] === true,
    json: values.json === true,
  }
}

function only(command: string, rest: readonly string[], what: string): string {
  if (rest.length !== 1) throw new AdminUsageError(`'${command}' takes one argument: ${what}`)
  return rest[0]!
}

function address(text: string): NodeAddress {
  try {
    return parseNodeAddress(text)
  } catch (error) {
    throw new AdminUsageError(messageOf(error), { cause: error })
  }
}

function tlsOf(values: Values): { ca: string; cert: string; key: string } | undefined {
  const { 'tls-ca': ca, 'tls-cert': cert, 'tls-key': key } = values
  if (ca === undefined && cert === undefined && key === undefined) return undefined
  if (ca === undefined || cert === undefined || key === undefined)
    throw new AdminUsageError('--tls-ca, --tls-cert and --tls-key go together')
  return { ca, cert, key }
}

function timeoutOf(text: string | undefined): number {
  if (text === undefined) return TIMEOUT_MS
  const value = /^[0-9]+$/.test(text) ? Number(text) : 0
  if (value < 1 || value > TIMEOUT_MS_MAX)
    throw new AdminUsageError(`--timeout-ms is a whole number from 1 to ${TIMEOUT_MS_MAX}`)
  return value
}
