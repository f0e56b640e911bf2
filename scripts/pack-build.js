/**
 * Packs what a commit compiles to, for the tests that run two versions in one cluster:
 *
 *     node scripts/pack-build.js <commit> e2e/fixtures/sluice-<its version>.tgz
 *
 * The archive holds only our own code, without maps and types, and the migrations; the dependencies come from
 * node_modules. The same commit gives the same bytes.
 */
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const root = fileURLToPath(new URL('..', import.meta.url))
const PROCESSES = ['broker', 'write-manager', 'read-manager', 'load-balancer']

const [commit, target] = process.argv.slice(2)
if (commit === undefined || target === undefined) {
  console.error('usage: node scripts/pack-build.js <commit> <archive.tgz>')
  process.exit(2)
}
const work = mkdtempSync(join(tmpdir(), 'sluice-pack-'))
try {
  const sources = join(work, 'sources')
  const packed = join(work, 'packed')
  checkOut(sources)
  linkDependencies(sources)
  compile(sources)
  collect(sources, packed)
  pack(packed, resolve(target))
} finally {
  rmSync(work, { recursive: true, force: true })
}

function checkOut(into) {
  mkdirSync(into)
  const tree = execFileSync('git', ['archive', commit], { cwd: root, maxBuffer: 1 << 30 })
  execFileSync('tar', ['-x', '-C', into], { input: tree })
}

/** The dependencies of now, and the commit's own packages. */
function linkDependencies(sources) {
  const from = join(root, 'node_modules')
  const to = join(sources, 'node_modules')
  mkdirSync(join(to, '@sluice'), { recursive: true })
  for (const name of readdirSync(from))
    if (name !== '@sluice' && !name.startsWith('.')) symlinkSync(join(from, name), join(to, name))
  for (const folder of ['libs', 'apps'])
    for (const name of readdirSync(join(sources, folder)))
      symlinkSync(join(sources, folder, name), join(to, '@sluice', name))
}

function compile(sources) {
  const compiler = createRequire(import.meta.url).resolve('@typescript/native/package.json')
  const projects = PROCESSES.map((name) => join('apps', name))
  execFileSync(process.execPath, [join(dirname(compiler), 'bin/tsc'), '-b', ...projects], {
    cwd: sources,
    stdio: 'inherit',
  })
}

function collect(sources, into) {
  cpSync(join(sources, 'migrations'), join(into, 'migrations'), { recursive: true })
  for (const file of readdirSync(sources, { recursive: true, encoding: 'utf8' })) {
    if (!/^(libs|apps)\/[^/]+\/dist\/(?!testing\/).*\.js$/.test(file)) continue
    if (!lstatSync(join(sources, file)).isFile()) continue
    const text = readFileSync(join(sources, file), 'utf8').replace(/^\/\/# sourceMappingURL=.*\n?/m, '')
    mkdirSync(dirname(join(into, file)), { recursive: true })
    writeFileSync(join(into, file), text)
    const manifest = join(...file.split('/').slice(0, 2), 'package.json')
    cpSync(join(sources, manifest), join(into, manifest))
  }
  cpSync(join(sources, 'package.json'), join(into, 'package.json'))
}

function pack(from, archive) {
  const plain = [
    '--sort=name',
    '--mtime=@0',
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--mode=u=rwX,go=rX',
  ]
  const tar = execFileSync('tar', [...plain, '-c', '-C', from, '.'], { maxBuffer: 1 << 30 })
  mkdirSync(dirname(archive), { recursive: true })
  const bytes = gzipSync(tar, { level: 9 })
  writeFileSync(archive, bytes)
  console.log(`${archive}: ${Math.ceil(bytes.length / 1024)} kB`)
}
