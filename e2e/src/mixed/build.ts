import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
/** Made by `scripts/pack-build.js`. */
const PREVIOUS = path.join(ROOT, 'e2e/fixtures/sluice-0.1.0.tgz')
/** Below node_modules, so that its code finds the dependencies. */
const UNPACKED = path.join(ROOT, 'node_modules/.cache/sluice-builds')

export type App = 'broker' | 'write-manager' | 'read-manager' | 'load-balancer'

/** One version of Sluice, compiled. */
export interface Build {
  readonly version: string
  readonly root: string
}

export function scriptOf(build: Build, app: App): string {
  return path.join(build.root, 'apps', app, 'dist/main.js')
}

/** What the sources here compile to. */
export function currentBuild(): Build {
  return buildAt(ROOT)
}

/** The version before, which clusters are upgraded from. */
export function previousBuild(): Build {
  const hash = createHash('sha256').update(readFileSync(PREVIOUS)).digest('hex').slice(0, 16)
  const root = path.join(UNPACKED, hash)
  if (!existsSync(root)) unpack(root)
  return buildAt(root)
}

function buildAt(root: string): Build {
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string }
  return { version, root }
}

/** Whole or not at all, also when two test runs do it at once. */
function unpack(root: string): void {
  mkdirSync(UNPACKED, { recursive: true })
  const draft = mkdtempSync(path.join(UNPACKED, 'draft-'))
  execFileSync('tar', ['-xzf', PREVIOUS, '-C', draft])
  const packages = path.join(draft, 'node_modules/@sluice')
  mkdirSync(packages, { recursive: true })
  for (const folder of ['libs', 'apps'])
    for (const name of readdirSync(path.join(draft, folder)))
      symlinkSync(path.join('../..', folder, name), path.join(packages, name))
  try {
    renameSync(draft, root)
  } catch (error) {
    rmSync(draft, { recursive: true, force: true })
    if (!existsSync(root)) throw error
  }
}
