import type { NodeId } from '../../core/types.js'
import { type Parcel, parcelKind } from './parcel.js'

/** Which parcels a command means; all of them unless told. */
export interface ParcelFilter {
  readonly to?: readonly NodeId[] | undefined
  readonly from?: readonly NodeId[] | undefined
  readonly kind?: string | undefined
  /** So many at most, the oldest unless `latest`. */
  readonly count?: number | undefined
  readonly latest?: boolean | undefined
}

/** What was sent and has not arrived, oldest first. */
export class ScriptNetwork {
  #parcels: Parcel[] = []

  send(parcel: Parcel): void {
    this.#parcels.push(parcel)
  }

  /** Those that the filter means, in the order they are to arrive. */
  select(filter: ParcelFilter): readonly Parcel[] {
    const { to, from, kind, count = this.#parcels.length, latest = false } = filter
    const meant = this.#parcels.filter(
      (parcel) =>
        (to === undefined || to.includes(parcel.to)) &&
        (from === undefined || from.includes(parcel.from)) &&
        (kind === undefined || kind === parcelKind(parcel)),
    )
    return (latest ? meant.reverse() : meant).slice(0, count)
  }

  remove(parcels: readonly Parcel[]): void {
    this.#parcels = this.#parcels.filter((parcel) => !parcels.includes(parcel))
  }
}
