export { eventually } from './eventually.js'
export { ManualClock } from './manual-clock.js'
