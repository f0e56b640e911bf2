import { expect, jest } from '@jest/globals'

/** Ends what hangs, and says nothing of speed: tests with whole clusters take their time on a busy machine. */
const CLUSTER_TEST_MS = 300_000

if (expect.getState().testPath.includes('/e2e/test/')) jest.setTimeout(CLUSTER_TEST_MS)
