import { existsSync, readFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { SourceMap, type SourceMapPayload } from 'node:module'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const TOP = 20

interface CallFrame {
  readonly functionName: string
  readonly url: string
  /** From 0. */
  readonly lineNumber: number
  readonly columnNumber: number
}

/** What `--cpu-prof` writes, as far as it is read here. */
interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: CallFrame }[]
  readonly samples: readonly number[]
  /** Microseconds. */
  readonly timeDeltas: readonly number[]
}

interface Cost {
  readonly name: string
  readonly place: string
  us: number
}

/** What cost most in each process that left a profile, as Markdown. */
export async function profileReport(directory: string): Promise<string> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.cpuprofile')).sort()
  const sections: string[] = []
  for (const file of files) {
    const profile = JSON.parse(await readFile(join(directory, file), 'utf8')) as CpuProfile
    sections.push(`### ${basename(file, '.cpuprofile')}\n\n${table(profile, new SourceMaps())}`)
  }
  return sections.join('\n\n')
}

function table(profile: CpuProfile, maps: SourceMaps): string {
  const costs = selfCosts(profile, maps)
  const idle = costs.get('(idle)')
  const idleUs = idle?.us ?? 0
  const totalUs = [...costs.values()].reduce((sum, { us }) => sum + us, 0)
  const busyUs = totalUs - idleUs
  const top = [...costs.values()]
    .filter((cost) => cost !== idle)
    .sort((a, b) => b.us - a.us)
    .slice(0, TOP)
  return [
    `Main thread busy ${percent(busyUs, totalUs)} of ${(totalUs / 1e6).toFixed(1)} s; self time, of what is busy:`,
    '',
    '| self | function | where |',
    '| --- | --- | --- |',
    ...top.map(({ us, name, place }) => `| ${percent(us, busyUs)} | ${name} | ${place} |`),
  ].join('\n')
}

function selfCosts({ nodes, samples, timeDeltas }: CpuProfile, maps: SourceMaps): Map<string, Cost> {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const usOfNode = new Map<number, number>()
  for (const [i, id] of samples.entries()) usOfNode.set(id, (usOfNode.get(id) ?? 0) + (timeDeltas[i] ?? 0))
  const costs = new Map<string, Cost>()
  for (const [id, us] of usOfNode) {
    const frame = frames.get(id)!
    const place = maps.place(frame)
    const name = frame.functionName === '' ? '(anonymous)' : frame.functionName
    const key = place === '' ? name : `${name} ${place}`
    const cost = costs.get(key) ?? { name, place, us: 0 }
    cost.us += us
    costs.set(key, cost)
  }
  return costs
}

/** From the places in what was built to those in the sources. */
class SourceMaps {
  readonly #maps = new Map<string, SourceMap | undefined>()

  place({ url, lineNumber, columnNumber }: CallFrame): string {
    if (!url.startsWith('file:')) return url === '' ? '' : `${url}:${lineNumber + 1}`
    const entry = this.#map(url)?.findEntry(lineNumber, columnNumber)
    if (entry === undefined || !('originalLine' in entry)) return `${shortened(url)}:${lineNumber + 1}`
    return `${shortened(new URL(entry.originalSource, url).href)}:${entry.originalLine + 1}`
  }

  #map(url: string): SourceMap | undefined {
    if (!this.#maps.has(url)) this.#maps.set(url, readMap(`${fileURLToPath(url)}.map`))
    return this.#maps.get(url)
  }
}

function readMap(path: string): SourceMap | undefined {
  if (!existsSync(path)) return undefined
  return new SourceMap(JSON.parse(readFileSync(path, 'utf8')) as SourceMapPayload)
}

function shortened(url: string): string {
  return url.replace(/^.*\/libs\//, '')
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(1)} %`
}
