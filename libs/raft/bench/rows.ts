import { codecRow, coreRow, walRow } from './alone-row.js'
import { failoverRow } from './failover-row.js'
import { idleRow } from './idle-row.js'
import { latencyRow, modelRow } from './latency-row.js'
import type { Row } from './row.js'
import { manyGroupsRow, oneGroupRow } from './throughput-row.js'

/** All rows, in the order in which they are run. */
export const ROWS: readonly Row[] = [
  modelRow,
  latencyRow,
  oneGroupRow,
  manyGroupsRow,
  idleRow,
  failoverRow,
  coreRow,
  walRow,
  codecRow,
]
