import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { systemClock } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import type { ProcessScripts } from '../src/cluster-plan.js'
import type { DatabaseServer } from '../src/database-server.js'
import type { ProcessTimes } from '../src/managed-process.js'
import { Terminal } from '../src/terminal.js'

const script = fileURLToPath(new URL('./fixtures/service.js', import.meta.url))

/** Every process of a cluster is played by one script. */
export const fixtureScripts: ProcessScripts = {
  broker: script,
  writeManager: script,
  readManager: script,
  loadBalancer: script,
}

export const shortTimes: ProcessTimes = { startTimeoutMs: 10_000, stopTimeoutMs: 2000, restartDelayMs: 20 }

/** Awaits a condition, at most `limitMs`. */
export async function until(condition: () => boolean, limitMs: number): Promise<void> {
  await eventually(() => {
    if (!condition()) throw new Error('the condition does not hold')
  }, limitMs)
}

/** A directory of its own for a test, a terminal that remembers, and a database server that is none. */
export class World {
  readonly directory = mkdtempSync(join(tmpdir(), 'sluice-cli-'))
  readonly databases: string[] = []
  #printed = ''

  readonly terminal = new Terminal(
    new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.#printed += chunk.toString()
        done()
      },
    }),
    systemClock,
    { colour: false },
  )

  /** Everything that was printed. */
  get printed(): string {
    return this.#printed
  }

  get env(): Record<string, string> {
    return { PATH: process.env['PATH'] ?? '', FIXTURE_DIR: this.directory }
  }

  readonly databaseServer: DatabaseServer = {
    url: 'postgres://nobody@127.0.0.1:1/none',
    pid: null,
    port: null,
    database: (name) => {
      this.databases.push(name)
      return Promise.resolve(`postgres://nobody@127.0.0.1:1/${name}`)
    },
    stop: () => {
      this.note('stopped postgres')
      return Promise.resolve()
    },
  }

  /** Tells the process of that name what to do. */
  order(name: string, what: 'fail' | 'stubborn' | 'late' | ''): void {
    writeFileSync(join(this.directory, `order-${name}`), what)
  }

  note(text: string): void {
    writeFileSync(join(this.directory, 'events'), `${text}\n`, { flag: 'a' })
  }

  /** What the processes did, in order. */
  get events(): string[] {
    return readFileSync(join(this.directory, 'events'), 'utf8').trim().split('\n')
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }
}
