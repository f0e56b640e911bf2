// How long the planner takes: npm run bench:planner. The metadata's leader does nothing else meanwhile.
import { performance } from 'node:perf_hooks'
import { planChanges } from '../libs/metadata/dist/index.js'

const REPLICAS = 3

/** Partitions spread over the first `before` of the brokers, of which the first is to keep nothing. */
function layouts({ brokers, before, partitions }) {
  return {
    brokers: Array.from({ length: brokers }, (_, i) => ({
      id: i + 1,
      host: `h${i}`,
      rack: `r${i % 3}`,
      takes: i > 0,
      keeps: i > 0,
      isEvicted: false,
    })),
    partitions: Array.from({ length: partitions }, (_, i) => ({
      groupId: i + 2,
      replicas: Array.from({ length: REPLICAS }, (__, n) => ((i + n) % before) + 1),
      replicationFactor: REPLICAS,
      barred: [],
      fixed: false,
      bytes: 1000 * i,
    })),
  }
}

for (const size of [
  { brokers: 5, before: 3, partitions: 5000 },
  { brokers: 10, before: 9, partitions: 5000 },
  { brokers: 30, before: 20, partitions: 10_000 },
])
  for (const goal of ['repair', 'even']) {
    const input = layouts(size)
    const startedMs = performance.now()
    const changes = planChanges(input, goal)
    const tookMs = Math.round(performance.now() - startedMs)
    console.log(
      `${size.partitions} partitions, ${size.before} → ${size.brokers} brokers, ${goal}: ${changes.length} changes in ${tookMs} ms`,
    )
  }
