export type RouteMethod = 'GET' | 'POST' | 'PATCH' | 'DELETE'

/** A public path: which managers serve it, and how a call to it may be treated. */
export interface RouteRule {
  readonly path: string
  readonly methods: readonly RouteMethod[]
  readonly managers: 'write' | 'read'
  /**
   * Asking a second manager after the first broke off does no harm for GET, which changes nothing; for
   * produce and consume, where the managers know a call by its request id; for registrations, where it leaves
   * an id that nobody uses; and for acknowledgements, which are the same twice as once.
   */
  readonly repeatable: (method: RouteMethod) => boolean
  /** A call whose outcome is not known has perhaps done something that doing it again would do twice. */
  readonly leavesDoubt: (method: RouteMethod) => boolean
  /** May be told to wait for messages (`wait_ms`), and then answers late on purpose. */
  readonly waits: boolean
  /** A GET that carries a body is passed on as POST, which the managers take on the same path. */
  readonly bodyTurnsGetIntoPost: boolean
}

const onlyGet = (method: RouteMethod): boolean => method === 'GET'
const onlyPost = (method: RouteMethod): boolean => method === 'POST'
const always = (): boolean => true
const never = (): boolean => false

function rule(managers: RouteRule['managers'], path: string, methods: readonly RouteMethod[]): RouteRule {
  return {
    path,
    methods,
    managers,
    repeatable: onlyGet,
    leavesDoubt: onlyPost,
    waits: false,
    bodyTurnsGetIntoPost: false,
  }
}

/** The public paths that managers serve. */
export const ROUTES: readonly RouteRule[] = [
  rule('write', '/topics', ['GET', 'POST']),
  rule('write', '/topics/:topic', ['GET', 'PATCH', 'DELETE']),
  rule('write', '/partition', ['POST']),
  { ...rule('write', '/producer/register', ['POST']), repeatable: always },
  { ...rule('write', '/producer/produce', ['POST']), repeatable: always },
  rule('write', '/broker', ['POST']),
  rule('write', '/brokers', ['GET']),
  rule('write', '/broker/:broker_id', ['DELETE']),
  rule('write', '/broker/:broker_id/maintenance', ['POST']),
  rule('write', '/rebalance', ['GET', 'POST', 'DELETE']),
  rule('write', '/health-checks', ['GET']),
  rule('write', '/audit-events', ['GET']),
  rule('write', '/settings', ['GET', 'PATCH']),
  { ...rule('read', '/consumer/register', ['POST']), repeatable: always },
  {
    ...rule('read', '/consumer/consume', ['GET', 'POST']),
    repeatable: always,
    leavesDoubt: never,
    waits: true,
    bodyTurnsGetIntoPost: true,
  },
  { ...rule('read', '/consumer/ack', ['POST']), repeatable: always, leavesDoubt: never },
  rule('read', '/consumer/seek', ['POST']),
  rule('read', '/consumer/lag', ['GET']),
  rule('read', '/size', ['GET']),
]
