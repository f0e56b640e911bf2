export type RouteMethod = 'GET' | 'POST'

/** A public path: which managers serve it, and how a call to it may be treated. */
export interface RouteRule {
  readonly path: string
  readonly methods: readonly RouteMethod[]
  readonly managers: 'write' | 'read'
  /**
   * Asking a second manager after the first broke off does no harm for GET, which changes nothing, and
   * for consume, where the managers know a call by its request id and deliver what it was granted.
   */
  readonly repeatable: (method: RouteMethod) => boolean
  /** May be told to wait for messages (`wait_ms`), and then answers late on purpose. */
  readonly waits: boolean
  /** A GET that carries a body is passed on as POST, which the managers take on the same path. */
  readonly bodyTurnsGetIntoPost: boolean
}

const onlyGet = (method: RouteMethod): boolean => method === 'GET'
const always = (): boolean => true

function rule(managers: RouteRule['managers'], path: string, methods: readonly RouteMethod[]): RouteRule {
  return { path, methods, managers, repeatable: onlyGet, waits: false, bodyTurnsGetIntoPost: false }
}

/** The public paths that managers serve. */
export const ROUTES: readonly RouteRule[] = [
  rule('write', '/topics', ['GET', 'POST']),
  rule('write', '/topics/:topic', ['GET']),
  rule('write', '/partition', ['POST']),
  rule('write', '/producer/register', ['POST']),
  rule('write', '/producer/produce', ['POST']),
  rule('write', '/broker', ['POST']),
  rule('write', '/brokers', ['GET']),
  rule('write', '/health-checks', ['GET']),
  rule('read', '/consumer/register', ['POST']),
  {
    ...rule('read', '/consumer/consume', ['GET', 'POST']),
    repeatable: always,
    waits: true,
    bodyTurnsGetIntoPost: true,
  },
  rule('read', '/consumer/ack', ['POST']),
  rule('read', '/consumer/seek', ['POST']),
  rule('read', '/consumer/lag', ['GET']),
  rule('read', '/size', ['GET']),
]
