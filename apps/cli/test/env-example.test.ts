import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from '@jest/globals'

const root = fileURLToPath(new URL('../../..', import.meta.url))

/** The settings that the programs read, found in their sources. */
function settingsRead(): Set<string> {
  const names = new Set<string>()
  for (const app of readdirSync(join(root, 'apps'))) {
    for (const file of readdirSync(join(root, 'apps', app, 'src'))) {
      if (!/^(config|settings)\.ts$/.test(file)) continue
      const source = readFileSync(join(root, 'apps', app, 'src', file), 'utf8')
      for (const [, name] of source.matchAll(/'([A-Z]+(?:_[A-Z]+)+)'/g)) names.add(name!)
    }
  }
  return names
}

test('.env.example lists every setting, and none that nobody reads', () => {
  const text = readFileSync(join(root, '.env.example'), 'utf8')
  const compose = readFileSync(join(root, 'docker-compose.yml'), 'utf8')
  const listed = new Set([...text.matchAll(/^#?([A-Z][A-Z0-9_]+)=/gm)].map(([, name]) => name!))
  const read = settingsRead()
  for (const [, name] of compose.matchAll(/\$\{([A-Z_]+):-/g)) read.add(name!)
  expect([...read].filter((name) => !listed.has(name))).toEqual([])
  expect([...listed].filter((name) => !read.has(name))).toEqual([])
})
