import type { NodeMachine } from './node-machine.js'

/** The way of a replicated object's commands into the log of its group. */
export interface SyncCommandSink {
  /**
   * Has a command carried out by the group; gives what `apply` gave on this very node.
   * @throws CommandFailedError, CommandTooLargeError
   */
  submit(payload: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<unknown>
  /** After it, everything that any node was told to be done before the call is to be seen here. */
  barrier(options?: { readonly signal?: AbortSignal }): Promise<void>
}

/** The replicated objects of a node, as one machine. */
export interface SyncMachine extends NodeMachine {
  /** Called once, before anything else. */
  attach(sink: SyncCommandSink): void
  /** The highest code version that this node can run. */
  readonly selfCodeVersion: number
  /** The one that the group runs. */
  readonly codeVersion: number
  /** Has the group run a version, by a command. Rejects when a version is unknown here or below the present one. */
  setCodeVersion(version: number): Promise<void>
  /** Called when the group's version changed, by a command or a snapshot. */
  onCodeVersionChanged?: ((version: number, before: number) => void) | undefined
}
