/** Starts one throw-away PostgreSQL for a Jest run; tests find it through SLUICE_TEST_POSTGRES_URL. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const door = new URL('../libs/postgres/dist/index.js', import.meta.url)

export default async function setup() {
  for (const name of ['foundation', 'postgres'])
    if (!existsSync(join(root, 'libs', name, 'dist/index.js'))) build()
  const { startTemporaryPostgres } = await import(door.href)
  const server = await startTemporaryPostgres({ name: 'jest' })
  globalThis.sluiceTestPostgres = server
  process.env.SLUICE_TEST_POSTGRES_URL = server.url('postgres')
}

/** A single package's tests run without `npm test`, and so without a build. */
function build() {
  const compiler = createRequire(import.meta.url).resolve('@typescript/native/package.json')
  execFileSync(process.execPath, [join(dirname(compiler), 'bin/tsc'), '-b', 'libs/postgres'], {
    cwd: root,
    stdio: 'inherit',
  })
}
