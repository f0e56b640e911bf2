import { messageOf } from '@sluice/foundation'
import { runningBrokers } from './status-command.js'
import { table } from './text-table.js'

/** Where a broker answers: `127.0.0.1:7001`. */
type Address = string

export interface VerifyOptions {
  /** The cluster of this directory, unless brokers are named. */
  readonly dataDirectory: string
  readonly brokers: readonly Address[]
  /** Only the partitions of this topic. */
  readonly topic: string | undefined
}

/** One range, as a broker's POST /verify answers. */
interface RangeAnswer {
  readonly from: number
  readonly to: number
  readonly end: number
  readonly same: readonly number[]
  readonly different: readonly number[]
  readonly repaired: readonly number[]
  readonly unchecked: readonly { readonly broker: number; readonly reason: string }[]
}

const STATUS_TIMEOUT_MS = 5_000
/** A broker waits for replicas that are behind, and for those that do not answer. */
const VERIFY_TIMEOUT_MS = 60_000

interface PartitionStatus {
  readonly name: string
  readonly role: string
}

interface Found {
  readonly partition: string
  first: number | undefined
  last: number
  readonly brokers: Set<number>
  readonly differences: string[]
  readonly unchecked: Set<string>
}

const VERIFY_EXIT = { same: 0, different: 1, unchecked: 2 } as const

/**
 * Has every partition's leader compare its replicas, range by range, and mend what differs from the majority.
 * @returns the exit code: 1 when anything was different, also when it is mended now; 2 when all that could be
 * compared is the same, but not everything could
 */
export async function verify(
  options: VerifyOptions,
): Promise<{ readonly lines: readonly string[]; readonly exitCode: number }> {
  const { leaders, problems } = await findLeaders(options)
  const all: Found[] = []
  for (const [partition, leader] of [...leaders].sort(([a], [b]) =>
    a.localeCompare(b, 'en', { numeric: true }),
  ))
    all.push(await verifyPartition(partition, leader))
  const isDifferent = all.some(({ differences }) => differences.length > 0)
  const isIncomplete = problems.length > 0 || all.some(({ unchecked }) => unchecked.size > 0)
  const rows = all.map((found) => [
    found.partition,
    found.first === undefined ? '-' : `${found.first} to ${found.last - 1}`,
    [...found.brokers].sort((a, b) => a - b).join(', ') || '-',
    resultOf(found),
  ])
  return {
    lines: [...table([['partition', 'offsets', 'brokers', 'result'], ...rows]), ...problems],
    exitCode: isDifferent ? VERIFY_EXIT.different : isIncomplete ? VERIFY_EXIT.unchecked : VERIFY_EXIT.same,
  }
}

/** The leader of every partition that some broker has. */
async function findLeaders({ dataDirectory, brokers, topic }: VerifyOptions): Promise<{
  readonly leaders: ReadonlyMap<string, Address | undefined>
  readonly problems: readonly string[]
}> {
  const addresses = brokers.length > 0 ? brokers : runningBrokers(dataDirectory)
  const problems: string[] = addresses.length === 0 ? [`No broker runs in ${dataDirectory}.`] : []
  const leaders = new Map<string, Address | undefined>()
  for (const address of addresses)
    try {
      const { partitions } = (await call(address, 'GET', '/status')) as {
        partitions: readonly PartitionStatus[]
      }
      for (const { name, role } of partitions) {
        if (topic !== undefined && !name.startsWith(`${topic}.`)) continue
        if (role === 'leader' || !leaders.has(name))
          leaders.set(name, role === 'leader' ? address : undefined)
      }
    } catch (error) {
      problems.push(`The broker at ${address} does not answer: ${messageOf(error)}`)
    }
  return { leaders, problems }
}

async function verifyPartition(partition: string, leader: Address | undefined): Promise<Found> {
  const found: Found = {
    partition,
    first: undefined,
    last: 0,
    brokers: new Set(),
    differences: [],
    unchecked: new Set(leader === undefined ? ['no broker leads it'] : []),
  }
  if (leader === undefined) return found
  try {
    for (let from = 0; ;) {
      const range = (await call(leader, 'POST', '/verify', { partition, from })) as unknown as RangeAnswer
      note(found, range)
      if (range.to >= range.end) return found
      from = range.to
    }
  } catch (error) {
    found.unchecked.add(messageOf(error))
    return found
  }
}

function note(found: Found, range: RangeAnswer): void {
  const { from, to, same, different, repaired, unchecked } = range
  if (to === from) return
  found.first ??= from
  found.last = to
  for (const broker of [...same, ...different]) found.brokers.add(broker)
  for (const { broker, reason } of unchecked) found.unchecked.add(`broker ${broker}: ${reason}`)
  const place = `${from} to ${to - 1}`
  if (different.length > 0 && same.length === 0)
    found.differences.push(`${place} DIFFERENT, without a majority, on brokers ${different.join(', ')}`)
  else if (different.length > 0) {
    const left = different.filter((broker) => !repaired.includes(broker))
    if (left.length > 0) found.differences.push(`${place} DIFFERENT on broker ${left.join(', ')}`)
    if (repaired.length > 0) found.differences.push(`${place} mended on broker ${repaired.join(', ')}`)
  }
}

function resultOf({ first, differences, unchecked }: Found): string {
  const open = [...unchecked].map((reason) => `not compared: ${reason}`)
  const parts = [...differences, ...open]
  if (parts.length > 0) return parts.join('; ')
  return first === undefined ? 'empty' : 'same'
}

async function call(
  address: Address,
  method: 'GET' | 'POST',
  path: string,
  body?: unknown,
): Promise<Record<string, unknown>> {
  const response = await fetch(`http://${address}${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(method === 'GET' ? STATUS_TIMEOUT_MS : VERIFY_TIMEOUT_MS),
  })
  const answer = (await response.json()) as Record<string, unknown>
  if (response.ok) return answer
  throw new Error(typeof answer['message'] === 'string' ? answer['message'] : `HTTP ${response.status}`)
}
