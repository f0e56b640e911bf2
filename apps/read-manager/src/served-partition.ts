/** Consumers remembered; one that is forgotten merely starts its next walk at the first partition. */
const CONSUMERS_MAX = 50_000

/** Which partition each consumer was served from last, so that its partitions take turns. */
export class ServedPartitions {
  readonly #numbers = new Map<number, number>()

  served(consumerId: number, partitionNumber: number): void {
    this.#numbers.delete(consumerId)
    this.#numbers.set(consumerId, partitionNumber)
    if (this.#numbers.size > CONSUMERS_MAX) this.#numbers.delete(this.#numbers.keys().next().value!)
  }

  /**
   * The partitions in the order of the consumer's next walk: from the one behind the last served on,
   * those that `isLast` names at the end, because they did not answer lately.
   *
   * @param partitions in order of their numbers
   */
  order<T extends { readonly number: number }>(
    consumerId: number,
    partitions: readonly T[],
    isLast: (partition: T) => boolean,
  ): readonly T[] {
    const last = this.#numbers.get(consumerId) ?? 0
    const start = partitions.findIndex((partition) => partition.number > last)
    const turned = start <= 0 ? partitions : [...partitions.slice(start), ...partitions.slice(0, start)]
    if (!turned.some(isLast)) return turned
    return [...turned.filter((partition) => !isLast(partition)), ...turned.filter(isLast)]
  }
}
