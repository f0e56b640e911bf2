import type { Answer, Api } from '../api.js'

/** What a caller knows after one attempt. */
export type CallOutcome =
  | { readonly kind: 'success'; readonly body: Record<string, unknown> }
  /** Certainly nothing changed. */
  | { readonly kind: 'refused'; readonly retriable: boolean; readonly answer: Answer }
  /** The call may have taken effect. */
  | { readonly kind: 'unknown'; readonly retriable: boolean; readonly answer: Answer | undefined }

/** One attempt; never throws: a connection that cannot be made, or breaks, is an outcome. */
export async function attempt(
  api: Pick<Api, 'raw'>,
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<CallOutcome> {
  let answer: Answer
  try {
    answer = await api.raw('POST', path, JSON.stringify(body), headers)
  } catch (error) {
    // Nobody took the call: what was never sent cannot have changed anything.
    const refused = (error as NodeJS.ErrnoException).code === 'ECONNREFUSED'
    return refused
      ? { kind: 'refused', retriable: true, answer: { status: 0, body: {} } }
      : { kind: 'unknown', retriable: true, answer: undefined }
  }
  if (answer.status === 200 || answer.status === 201) return { kind: 'success', body: answer.body }
  const retriable = answer.body['retriable'] === true
  return { kind: answer.body['outcome'] === 'no' ? 'refused' : 'unknown', retriable, answer }
}
