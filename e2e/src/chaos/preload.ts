import { existsSync, writeFileSync } from 'node:fs'
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
 * Loaded with `--import` into every process of a cluster under test; acts in its brokers only. It holds a
 * broker back while its gate is shut, sends its connections to other brokers through the proxy, notes
 * which bytes are not synced, shifts its clocks, and puts a re-injected bug in place of the code.
 */
const GATE_POLL_MS = 20

const brokerName = process.argv.find((word) => /^--name=broker-\d+$/.test(word))?.slice('--name='.length)
if (brokerName !== undefined) await prepare(brokerName)

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
  /** Where to connect instead, by the port of the broker that is meant. */
  const ports = new Map<number, number>()
  for (const entry of (process.env['SLUICE_BOOTSTRAP_BROKERS'] ?? '').split(',')) {
    const match = /^(\d+)=.*:(\d+)$/.exec(entry)
    const instead = match === null ? undefined : proxied.get(`${self}>${match[1]!}`)
    if (match !== null && instead !== undefined) ports.set(Number(match[2]), instead)
  }
  const prototype = net.Socket.prototype as { connect: (...parameters: unknown[]) => net.Socket }
  const { connect } = prototype
  prototype.connect = function (this: net.Socket, ...parameters) {
    // Called by `net.connect` with one array, which holds the options in front and a mark of its own.
    const [first] = parameters
    const options = (Array.isArray(first) ? (first as unknown[])[0] : first) as { port?: unknown } | undefined
    const instead = ports.get(Number(options?.port))
    if (options === undefined || instead === undefined) return connect.apply(this, parameters)
    if (Array.isArray(first)) first[0] = { ...options, port: instead }
    else parameters[0] = { ...options, port: instead }
    return connect.apply(this, parameters)
  }
}
