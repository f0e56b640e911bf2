import type { RecoveryView } from '@sluice/contracts'

const TIMEOUT_MS = 10_000
/** For a broker that should not be there. */
const PROBE_TIMEOUT_MS = 1500

/** What a broker said no with. */
export class BrokerRefusal extends Error {
  override readonly name = 'BrokerRefusal'
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** @throws BrokerRefusal, or Error when nothing answers */
export async function readView(address: string): Promise<RecoveryView> {
  return (await callBroker(address, '/recovery')) as unknown as RecoveryView
}

export async function callBroker(
  address: string,
  path: string,
  body?: unknown,
): Promise<Record<string, unknown>> {
  const response = await fetch(`http://${address}${path}`, {
    ...(body === undefined
      ? {}
      : {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        }),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  const answer = (await response.json()) as Record<string, unknown>
  if (response.ok) return answer
  const { code, message } = answer
  throw new BrokerRefusal(
    typeof code === 'string' ? code : '',
    typeof message === 'string' ? message : `HTTP ${response.status}`,
  )
}

/** The broker of this id and cluster answers there. */
export async function answers(
  address: string,
  broker: { readonly clusterId: string; readonly brokerId: number },
): Promise<boolean> {
  try {
    const response = await fetch(`http://${address}/status`, {
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    })
    const { clusterId, brokerId } = (await response.json()) as Record<string, unknown>
    return clusterId === broker.clusterId && brokerId === broker.brokerId
  } catch {
    return false
  }
}
