import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { register } from 'node:module'
import net from 'node:net'
import path from 'node:path'
import { delay } from '@sluice/foundation'
import { followClockFile } from './broker-clock.js'
import { mutatedSources } from './mutant.js'
import { mutantById } from './mutants.js'
import { SyncJournal } from './sync-journal.js'

/**
 * Loaded with `--import` into every process of a cluster under test. It sends connections of brokers and
 * managers to brokers through the proxy. In brokers it also holds them back while their gate is shut, notes which
 * bytes are not synced, shifts their clocks, and puts a re-injected bug in place of the code.
 */
const GATE_POLL_MS = 20

const processName =
  process.argv
    .find((word) => /^--name=(broker|read-manager|write-manager)-\d+$/.test(word))
    ?.slice('--name='.length) ?? ''
if (processName.startsWith('broker-')) await prepare(processName)
else if (processName !== '') redirectLinks(processName)

async function prepare(name: string): Promise<void> {
  const directory = process.env['CHAOS_DIRECTORY'] ?? ''
  while (existsSync(path.join(directory, `${name}.gate`))) await delay(GATE_POLL_MS)
  writeFileSync(path.join(directory, `${name}.port`), process.env['BROKER_PORT'] ?? '')
  await journalSyncs(path.join(directory, `${name}.journal`))
  followClockFile(path.join(directory, `${name}.clock`))
  redirectLinks(process.env['BROKER_ID'] ?? '')
  const mutant = process.env['CHAOS_MUTANT'] ?? ''
  if (mutant !== '')
    register('./loader-hooks.js', {
      parentURL: import.meta.url,
      data: mutatedSources(mutantById(mutant)),
    })
}

/** Only the broker's log writes through file handles at positions. */
async function journalSyncs(file: string): Promise<void> {
  const journal = new SyncJournal(file)
  const probe = await open(process.execPath)
  const prototype = Object.getPrototypeOf(probe) as {
    write: (...parameters: unknown[]) => Promise<unknown>
    datasync: () => Promise<void>
  }
  await probe.close()
  const { write, datasync } = prototype
  prototype.write = function (this: typeof probe, ...parameters) {
    const [, , length, position] = parameters
    if (typeof length === 'number' && typeof position === 'number')
      journal.written(this, position, position + length)
    return write.apply(this, parameters)
  }
  prototype.datasync = async function (this: typeof probe) {
    const done = journal.syncing(this)
    await datasync.apply(this)
    done()
  }
}

function redirectLinks(self: string): void {
  const proxied = new Map<string, number>()
  for (const entry of (process.env['CHAOS_LINKS'] ?? '').split(',')) {
    const [link, port] = entry.split('=')
    if (link !== undefined && port !== undefined) proxied.set(link, Number(port))
  }
  const directory = process.env['CHAOS_DIRECTORY'] ?? ''
  const insteadOf = (port: number): number | undefined => {
    const broker = brokerAt(directory, port)
    return broker === undefined ? undefined : proxied.get(`${self}>${broker}`)
  }
  const prototype = net.Socket.prototype as { connect: (...parameters: unknown[]) => net.Socket }
  const { connect } = prototype
  prototype.connect = function (this: net.Socket, ...parameters) {
    // Called by `net.connect` with one array, which holds the options in front and a mark of its own.
    const [first] = parameters
    const options = (Array.isArray(first) ? (first as unknown[])[0] : first) as { port?: unknown } | undefined
    const instead = insteadOf(Number(options?.port))
    if (options === undefined || instead === undefined) return connect.apply(this, parameters)
    if (Array.isArray(first)) first[0] = { ...options, port: instead }
    else parameters[0] = { ...options, port: instead }
    return connect.apply(this, parameters)
  }
}

/** The broker that said that it listens there. */
function brokerAt(directory: string, port: number): string | undefined {
  for (const file of readdirSync(directory)) {
    const id = /^broker-(\d+)\.port$/.exec(file)?.[1]
    if (id !== undefined && Number(readFileSync(path.join(directory, file), 'utf8')) === port) return id
  }
  return undefined
}
