/** Writes docs/openapi.json from the schemas; with `--check` fails when the file is out of date. */
import { readFileSync, writeFileSync } from 'node:fs'
import { openApiDocument } from '../libs/contracts/dist/index.js'

const file = new URL('../docs/openapi.json', import.meta.url)
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const text = `${JSON.stringify(openApiDocument(version), undefined, 2)}\n`
if (!process.argv.includes('--check')) writeFileSync(file, text)
else if (readFileSync(file, 'utf8') !== text) {
  console.error('docs/openapi.json is out of date: npm run openapi')
  process.exitCode = 1
}
