import { ReplicatedDecodeError } from '../errors.js'

/** Items of a container that a snapshot encodes together. */
const PART_ITEMS = 1000

/** Items of a container, some at a time, so that no part takes long to encode. */
export function* partsOf<T>(items: readonly T[]): Iterable<readonly T[]> {
  for (let at = 0; at < items.length; at += PART_ITEMS) yield items.slice(at, at + PART_ITEMS)
}

/** The items again. @throws ReplicatedDecodeError */
export function itemsOf(parts: readonly unknown[]): unknown[] {
  return parts.flatMap((part) => {
    if (!Array.isArray(part)) throw new ReplicatedDecodeError('a part of a container that is no list')
    return part as unknown[]
  })
}

/** A container is as full as it may be; nothing was changed. */
class ContainerFullError extends Error {
  override readonly name = 'ContainerFullError'
}

/** An argument that makes no sense; nothing was changed. */
export class ArgumentError extends Error {
  override readonly name = 'ArgumentError'
}

/** There is nothing with this key, value or index; nothing was changed. */
export class MissingError extends Error {
  override readonly name = 'MissingError'
}

/** Items that a container holds at most, unless it is told otherwise. */
export const ITEMS_MAX = 10_000_000

export function checkRoom(count: number, more: number, max: number): void {
  if (count + more > max) throw new ContainerFullError(`the container holds at most ${max} items`)
}
