import { invariant, unreachable } from '@sluice/foundation'
import { withContext } from './apply-context.js'
import { type CallResult, thrownResult, valueOf } from './call-result.js'
import { decodeCommand, encodeCommand, type ReplicatedCommand } from './command.js'
import { definitionsOf } from './definition.js'
import { CodeVersionError, ReplicatedDecodeError, ReplicatedDefinitionError } from './errors.js'
import { type CallOptions, type Caller, handleOf, type Replicated } from './handle.js'
import { MethodTable, type TableMethod } from './method-table.js'
import { type ObjectState, stateOf } from './object-state.js'
import { type RetryOptions, SessionClient, withRetries } from './session-client.js'
import { DEFAULT_SESSION_LIMITS, type SessionLimits, SessionTable } from './session-table.js'
import { decodeRecords, encodeRecords, RecordKind, type SnapshotRecord } from './snapshot-records.js'

/** The way of commands into the group's log, and of reads that see everything that was done before them. */
export interface CommandSink {
  /** Has a command carried out by the group; gives what `apply` gave on this very node. */
  submit(payload: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<unknown>
  barrier(options?: { readonly signal?: AbortSignal }): Promise<void>
}

interface Registered {
  readonly target: object
  readonly state: ObjectState
}

/**
 * Replicated objects as the state machine of a group: the same calls in the same order give the same state
 * and results on every node. Objects are added before the node is opened, on every node the same ones in
 * the same order.
 *
 *     const machine = new ReplicatedMachine()
 *     const counter = machine.add('visits', new ReplicatedCounter())
 *     await SyncObject.open({ self, others, machine })
 *     await counter.add(1)        // on all nodes
 *     await counter.get()         // sees everything that was done before
 *     counter.local.get()         // at once, and perhaps a little old
 */
export class ReplicatedMachine implements Caller {
  readonly #objects = new Map<string, Registered>()
  readonly #methods: TableMethod[] = []
  readonly #sessionLimits: SessionLimits
  #table: MethodTable | undefined
  #sink: CommandSink | undefined
  #sessions: SessionTable
  #codeVersion = 0
  /** Told when the group's code version changed, by a command or a snapshot. */
  onCodeVersionChanged: ((version: number, before: number) => void) | undefined

  constructor(options: { readonly sessions?: Partial<SessionLimits> } = {}) {
    this.#sessionLimits = { ...DEFAULT_SESSION_LIMITS, ...options.sessions }
    this.#sessions = new SessionTable(this.#sessionLimits)
  }

  /**
   * Replicates an object under a name; the handle's methods are carried out by the group.
   * @throws ReplicatedDefinitionError
   */
  add<T extends object>(name: string, target: T): Replicated<T> {
    if (this.#table !== undefined)
      throw new ReplicatedDefinitionError('objects are added before the node is opened')
    if (this.#objects.has(name)) throw new ReplicatedDefinitionError(`there is an object ${name} already`)
    for (const method of definitionsOf(target)) this.#methods.push({ ...method, object: name, target })
    this.#objects.set(name, { target, state: stateOf(target) })
    return handleOf(this, name, target)
  }

  /** Called once, when the node is opened. */
  attach(sink: CommandSink): void {
    invariant(this.#sink === undefined, 'a machine belongs to one node')
    this.#table = new MethodTable(this.#methods)
    this.#sink = sink
  }

  /** The highest code version that this node can run. */
  get selfCodeVersion(): number {
    return this.#methodTable.version
  }

  /** The one that the group runs. */
  get codeVersion(): number {
    return this.#codeVersion
  }

  /** Has the group run a version of the methods, which every node must have by then. */
  async setCodeVersion(version: number): Promise<void> {
    if (!Number.isInteger(version) || version < 0 || version > this.selfCodeVersion)
      throw new CodeVersionError(`this node has code of version ${this.selfCodeVersion}, not ${version}`)
    valueOf((await this.#theSink.submit(encodeCommand({ kind: 'version', version }))) as CallResult)
  }

  /** Calls through it may be repeated, and are carried out once. */
  async openSession(options: CallOptions & RetryOptions = {}): Promise<SessionClient> {
    // One that was opened and not heard of is forgotten in time.
    const payload = encodeCommand({ kind: 'open-session' })
    const result = await withRetries(() => this.#theSink.submit(payload, optionsOf(options)), options)
    return new SessionClient(valueOf(result as CallResult) as number, options)
  }

  /** A replicated method through the log, another one after a barrier. For handles. */
  async call(object: string, name: string, args: readonly unknown[], options: CallOptions): Promise<unknown> {
    const sink = this.#theSink
    const { target } = this.#objects.get(object)!
    if (!this.#methodTable.has(object, name)) {
      await sink.barrier(optionsOf(options))
      return (target as Record<string, (...args: readonly unknown[]) => unknown>)[name]!(...args)
    }
    const method = this.#methodTable.idOf(object, name, this.#codeVersion)
    if (method === undefined)
      throw new CodeVersionError(`the group runs code of version ${this.#codeVersion}, which has no ${name}`)
    const { session } = options
    if (session === undefined) {
      const payload = encodeCommand({ kind: 'call', method, args })
      return valueOf((await sink.submit(payload, optionsOf(options))) as CallResult)
    }
    return session.call((at) => {
      const payload = encodeCommand({ kind: 'session-call', ...at, method, args })
      return sink.submit(payload, optionsOf(options)).then((result) => valueOf(result as CallResult))
    })
  }

  /**
   * Carries out a committed command. What makes no sense has that as its result, on every node alike.
   * @throws CodeVersionError when the group is to run code that this node does not have: it must stop
   */
  apply(
    payload: Uint8Array,
    at: { readonly index: number; readonly term: number; readonly timeMs: number },
  ): CallResult {
    const command = decodedOr(payload)
    if (command === undefined) return { kind: 'thrown', name: 'ReplicatedDecodeError', message: 'no command' }
    switch (command.kind) {
      case 'call':
        return this.#run(command, at)
      case 'version':
        return this.#enableVersion(command.version)
      case 'open-session':
        return { kind: 'value', value: this.#sessions.open(at.index, at.timeMs) }
      case 'session-call':
        return this.#sessions.call(command, at.timeMs, () => this.#run(command, at))
      default:
        return unreachable(command)
    }
  }

  /** The state as of now. */
  capture(): { chunks(): AsyncIterable<Uint8Array>; release(): void } {
    const head = { format: 1, codeVersion: this.#codeVersion, sessions: this.#sessions.toState() }
    const objects = [...this.#objects].map(([name, { state }]) => ({ name, parts: state.capture() }))
    function* records(): Iterable<SnapshotRecord> {
      yield { kind: RecordKind.HEAD, value: head }
      for (const { name, parts } of objects) {
        yield { kind: RecordKind.OBJECT, value: name }
        for (const part of parts) yield { kind: RecordKind.PART, value: part }
      }
      yield { kind: RecordKind.END, value: null }
    }
    return { chunks: () => encodeRecords(records()), release: () => undefined }
  }

  /** Replaces the state, once all of it is read and makes sense. @throws ReplicatedDecodeError, CodeVersionError */
  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts = new Map<string, unknown[]>()
    let head: { readonly codeVersion: number; readonly sessions: SessionTable } | undefined
    let present: unknown[] | undefined
    let isWhole = false
    for await (const { kind, value } of decodeRecords(chunks)) {
      if (isWhole) throw new ReplicatedDecodeError('a snapshot goes on behind its end')
      if ((kind === RecordKind.HEAD) !== (head === undefined))
        throw new ReplicatedDecodeError('a snapshot has one head, at its start')
      if (kind === RecordKind.HEAD) {
        head = this.#headOf(value)
      } else if (kind === RecordKind.OBJECT) {
        present = []
        parts.set(String(value), present)
      } else if (kind === RecordKind.PART) {
        if (present === undefined) throw new ReplicatedDecodeError('a part that belongs to no object')
        present.push(value)
      } else {
        isWhole = true
      }
    }
    if (head === undefined || !isWhole) throw new ReplicatedDecodeError('the snapshot is cut off')
    this.#replace(head, parts)
  }

  #replace(
    head: { readonly codeVersion: number; readonly sessions: SessionTable },
    parts: ReadonlyMap<string, readonly unknown[]>,
  ): void {
    for (const name of parts.keys())
      if (!this.#objects.has(name))
        throw new ReplicatedDecodeError(`the snapshot has an object ${name}, this node has not`)
    const puts = [...parts].map(([name, its]) => this.#objects.get(name)!.state.prepare(its))
    this.#putAll(puts)
    this.#sessions = head.sessions
    this.#enableVersion(head.codeVersion)
  }

  /** All of them or none: an object that refuses its parts has the others keep what they had. */
  #putAll(puts: readonly (() => void)[]): void {
    const before = [...this.#objects.values()].map(({ state }) => state.prepare([...state.capture()]))
    try {
      for (const put of puts) put()
    } catch (error) {
      for (const undo of before) undo()
      throw error
    }
  }

  #headOf(value: unknown): { readonly codeVersion: number; readonly sessions: SessionTable } {
    const head = value as {
      readonly format?: unknown
      readonly codeVersion?: unknown
      readonly sessions?: unknown
    } | null
    if (head === null || typeof head !== 'object' || head.format !== 1 || !Number.isInteger(head.codeVersion))
      throw new ReplicatedDecodeError('a snapshot of another format')
    return {
      codeVersion: head.codeVersion as number,
      sessions: SessionTable.fromState(head.sessions, this.#sessionLimits),
    }
  }

  #run(
    call: { readonly method: number; readonly args: readonly unknown[] },
    at: { readonly index: number; readonly term: number; readonly timeMs: number },
  ): CallResult {
    const found = this.#methodTable.at(call.method)
    if (found === undefined)
      return {
        kind: 'thrown',
        name: 'ReplicatedDefinitionError',
        message: `there is no method ${call.method}`,
      }
    const { target, implementation } = found
    const method = (target as Record<string, (...args: readonly unknown[]) => unknown>)[implementation]!
    try {
      return { kind: 'value', value: withContext(at, () => method.apply(target, [...call.args])) }
    } catch (error) {
      return thrownResult(error)
    }
  }

  #enableVersion(version: number): CallResult {
    if (version > this.selfCodeVersion)
      throw new CodeVersionError(
        `the group runs code of version ${version}, this node has ${this.selfCodeVersion}`,
      )
    if (version < this.#codeVersion)
      return {
        kind: 'thrown',
        name: 'CodeVersionError',
        message: `the group runs version ${this.#codeVersion} already`,
      }
    const before = this.#codeVersion
    this.#codeVersion = version
    if (version !== before) this.onCodeVersionChanged?.(version, before)
    return { kind: 'value', value: version }
  }

  get #methodTable(): MethodTable {
    invariant(this.#table !== undefined, 'the machine belongs to a node that is open')
    return this.#table
  }

  get #theSink(): CommandSink {
    invariant(this.#sink !== undefined, 'the machine belongs to a node that is open')
    return this.#sink
  }
}

function optionsOf({ signal, timeoutMs }: CallOptions): { readonly signal?: AbortSignal } {
  const signals = [signal, timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs)].filter(
    (candidate) => candidate !== undefined,
  )
  return signals.length === 0 ? {} : { signal: AbortSignal.any(signals) }
}

function decodedOr(payload: Uint8Array): ReplicatedCommand | undefined {
  try {
    return decodeCommand(payload)
  } catch (error) {
    if (error instanceof ReplicatedDecodeError) return undefined
    throw error
  }
}
