import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { messageOf, toError } from '@sluice/foundation'
import { MUTANTS } from './catalogue.js'
import { DIST, type Mutant, mutatedFile } from './mutant.js'

const USAGE = `usage: npm run mutants -w libs/raft -- [--only ID,ID] [--runs N] [--seed S] [--jobs N]

Builds each known bug into the library, one at a time, and sees that simulation or a named test finds it.
  --only   these mutants (default: all)
  --runs   simulated runs that a mutant may survive before it counts as escaped (default 400)
  --seed   the first seed (default 1)
  --jobs   mutants hunted at the same time (default 2)`

interface Verdict {
  readonly mutant: Mutant
  readonly caught: boolean
  /** How: the run it took, or the test. */
  readonly by: string
  readonly seconds: number
}

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url))
const HERE = fileURLToPath(new URL('./', import.meta.url))
const TEST_MS_MAX = 300_000

interface Finished {
  readonly code: number | null
  readonly output: string
}

function run(args: readonly string[], mutant: Mutant): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...args], {
      cwd: ROOT,
      env: { ...process.env, RAFT_MUTANT: mutant.id },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: TEST_MS_MAX,
    })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, output }))
  })
}

async function huntBySimulation(
  mutant: Mutant,
  options: { readonly runs: string; readonly seed: string; readonly more: readonly string[] },
): Promise<{ readonly caught: boolean; readonly by: string }> {
  const { runs, seed, more } = options
  const { code, output } = await run(
    [
      '--import',
      `${HERE}register.js`,
      `${DIST}testing/sim-main.js`,
      ...['--runs', runs, '--seed', seed, '--jobs', '1', '--no-shrink'],
      ...more,
    ],
    mutant,
  )
  const failing = /FAILED run (\d+) .*?: (.*)/.exec(output)
  if (code !== 1 || failing === null) {
    const reason =
      code === 0
        ? `survived ${runs} runs`
        : `the simulation ended with ${String(code)}: ${output.slice(-400)}`
    return { caught: false, by: reason }
  }
  return { caught: true, by: `simulation, run ${failing[1] ?? ''}: ${(failing[2] ?? '').slice(0, 80)}` }
}

async function huntByTest(
  mutant: Mutant,
  test: { readonly file: string; readonly name: string },
): Promise<{ readonly caught: boolean; readonly by: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'raft-mutant-'))
  try {
    const config = join(folder, 'jest.config.json')
    writeFileSync(config, JSON.stringify(jestConfig(folder)))
    const { code, output } = await run(
      [
        '--experimental-vm-modules',
        '--disable-warning=ExperimentalWarning',
        join(ROOT, 'node_modules/jest/bin/jest.js'),
        ...['--config', config, '--json', '--runInBand', '-t', test.name, `libs/raft/test/${test.file}`],
      ],
      mutant,
    )
    const { numFailedTests, numPassedTests } = JSON.parse(output.slice(output.indexOf('{"num'))) as {
      numFailedTests: number
      numPassedTests: number
    }
    if (numFailedTests + numPassedTests === 0)
      return { caught: false, by: `no test is named so: ${test.name}` }
    return { caught: code !== 0 && numFailedTests > 0, by: `test: ${test.name}` }
  } catch (error) {
    return { caught: false, by: `the test did not run: ${messageOf(error)}` }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The tests as they are, on the built files in place of the sources. */
function jestConfig(cacheDirectory: string): object {
  const swc = {
    jsc: {
      target: 'es2022',
      parser: { syntax: 'typescript', decorators: true },
      transform: { decoratorVersion: '2022-03' },
    },
    module: { type: 'es6' },
  }
  return {
    rootDir: ROOT,
    cacheDirectory,
    testMatch: ['**/libs/raft/test/**/*.test.ts'],
    extensionsToTreatAsEsm: ['.ts'],
    moduleNameMapper: {
      '^(?:\\.\\./)+src/(.*)\\.js$': `${DIST}$1.js`,
      '^@sluice/foundation(/testing)?$': `${ROOT}libs/foundation/dist$1/index.js`,
      '^(\\./(?:.*/)?[^/]*)\\.js$': '$1',
    },
    transform: {
      '/dist/.+\\.js$': `${HERE}jest-transform.js`,
      '^.+\\.ts$': ['@swc/jest', swc],
    },
  }
}

async function hunt(
  mutant: Mutant,
  options: { readonly runs: string; readonly seed: string },
): Promise<Verdict> {
  const startedMs = performance.now()
  mutatedFile(mutant)
  const { caughtBy } = mutant
  const found =
    caughtBy.kind === 'simulation'
      ? await huntBySimulation(mutant, { ...options, more: caughtBy.arguments ?? [] })
      : await huntByTest(mutant, caughtBy)
  return { mutant, ...found, seconds: (performance.now() - startedMs) / 1000 }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      runs: { type: 'string', default: '400' },
      seed: { type: 'string', default: '1' },
      jobs: { type: 'string', default: '2' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const only = values.only?.split(',')
  const unknown = only?.filter((id) => MUTANTS.every((mutant) => mutant.id !== id)) ?? []
  if (unknown.length > 0) throw new Error(`no such mutant: ${unknown.join(', ')}`)
  const waiting = MUTANTS.filter(({ id }) => only === undefined || only.includes(id))
  const verdicts: Verdict[] = []
  const worker = async (): Promise<void> => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const verdict = await hunt(mutant, values)
      verdicts.push(verdict)
      const { caught, by, seconds } = verdict
      console.log(
        `${caught ? 'caught ' : 'ESCAPED'}  ${mutant.id.padEnd(34)} ${seconds.toFixed(1).padStart(6)} s  ${by}`,
      )
    }
  }
  await Promise.all(Array.from({ length: Number(values.jobs) }, worker))
  const escaped = verdicts.filter(({ caught }) => !caught)
  console.log(`\n${verdicts.length - escaped.length} of ${verdicts.length} mutants caught`)
  return escaped.length === 0 ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(`mutants: ${toError(error).message}\n\n${USAGE}`)
  process.exitCode = 2
}
