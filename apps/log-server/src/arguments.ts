import { createHash } from 'node:crypto'

export const USAGE = `usage: log-server <output_id> <host:port> <node1> ... <nodeN>

One node of a consistent distributed log. <host:port> is this node and is among the 1 to 9 nodes, which
are the same for all. Started in a folder that has a folder output/; the log is written there on /exit.`

export const NODES_MAX = 9

export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export interface Address {
  readonly host: string
  readonly port: number
}

export interface LogServerArguments {
  readonly outputId: string
  readonly self: Address
  /** Id of this node: its place in the sorted list, from 1. */
  readonly nodeId: number
  /** By id; the first is node 1's. */
  readonly nodes: readonly Address[]
  /** 16 bytes, the same for all nodes of one log and no others. */
  readonly groupUuid: Uint8Array
}

/** @throws UsageError that says which argument is wrong, and how */
export function parseArguments(args: readonly string[]): LogServerArguments {
  const [outputId, selfText, ...nodeTexts] = args
  if (outputId === undefined || selfText === undefined || nodeTexts.length === 0)
    throw new UsageError(
      `an output id, this node's address and the list of nodes are needed, not ${args.length} arguments`,
    )
  if (!/^[A-Za-z0-9._-]{1,100}$/.test(outputId))
    throw new UsageError(
      `output id ${JSON.stringify(outputId)} is not made of up to 100 letters, digits, ".", "_" and "-"`,
    )
  if (nodeTexts.length > NODES_MAX)
    throw new UsageError(`${nodeTexts.length} nodes are more than ${NODES_MAX}`)
  parseAddress(selfText)
  const sorted = nodeTexts
    .map((text) => ({ text, ...parseAddress(text) }))
    .sort((a, b) => (a.text < b.text ? -1 : 1))
  for (let i = 1; i < sorted.length; i++)
    if (sorted[i]!.text === sorted[i - 1]!.text)
      throw new UsageError(`node ${sorted[i]!.text} is listed twice`)
  const at = sorted.findIndex(({ text }) => text === selfText)
  const self = sorted[at]
  if (self === undefined)
    throw new UsageError(`${selfText} is not in the list of nodes: ${nodeTexts.join(' ')}`)
  const identity = [outputId, ...sorted.map(({ text }) => text)].join(' ')
  const groupUuid = createHash('sha256').update(identity).digest().subarray(0, 16)
  return { outputId, self, nodeId: at + 1, nodes: sorted, groupUuid: Uint8Array.from(groupUuid) }
}

function parseAddress(text: string): Address {
  const match = /^([^\s:/]+|\[[0-9A-Fa-f:]+\]):([0-9]{1,5})$/.exec(text)
  const port = Number(match?.[2])
  if (match === null || port < 1 || port > 65_535)
    throw new UsageError(`${JSON.stringify(text)} is no host:port`)
  return { host: match[1]!.replace(/^\[|\]$/g, ''), port }
}
