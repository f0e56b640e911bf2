import type { AloneCalls } from './alone-calls.js'
import { serveCalls } from './calls.js'
import { probeCodec } from './codec-probe.js'
import { CoreProbe } from './core-probe.js'
import { inSlices } from './slices.js'
import { WalProbe } from './wal-probe.js'

serveCalls<AloneCalls>({
  core(batch, forMs) {
    const probe = new CoreProbe()
    return inSlices(forMs, (ms) => probe.run(batch, ms))
  },
  async wal(directory, shape) {
    const probe = await WalProbe.open(directory)
    try {
      return await probe.run(shape)
    } finally {
      await probe.close()
    }
  },
  codec: (shape, forMs) => probeCodec(shape, forMs),
})
