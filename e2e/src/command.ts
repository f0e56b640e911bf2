import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { ClusterProcess } from './local-cluster.js'

const CLI = fileURLToPath(new URL('../../apps/cli/dist/main.js', import.meta.url))

export interface Ended {
  /** null when a signal ended it. */
  readonly code: number | null
  /** Of both streams. */
  readonly output: string
}

/** `sluice` with these arguments, until it ends. */
export function sluice(args: readonly string[], cwd: string): Promise<Ended> {
  return run([CLI, ...args], process.env, cwd)
}

/** What a process was started with, so that it can be started again as it was. */
export interface Launch {
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
}

/** Of a process that runs. */
export function launchOf({ pid }: ClusterProcess): Launch {
  const fields = (file: string): string[] =>
    readFileSync(`/proc/${pid}/${file}`, 'utf8')
      .split('\0')
      .filter((text) => text !== '')
  const env = Object.fromEntries(
    fields('environ').map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  )
  return { args: fields('cmdline').slice(1), env }
}

/** The same process once more, until it ends; it is killed (`SIGKILL`) when `kill` aborts. */
export function relaunch({ args, env }: Launch, more: NodeJS.ProcessEnv, kill: AbortSignal): Promise<Ended> {
  // The parent that it once had is not there.
  const own = Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('NODE_CHANNEL')))
  return run(args, { ...own, ...more }, process.cwd(), kill)
}

function run(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  cwd: string,
  kill = AbortSignal.timeout(180_000),
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...args], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const collect = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-200_000)
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    const end = (): void => void child.kill('SIGKILL')
    if (kill.aborted) end()
    kill.addEventListener('abort', end)
    child.once('error', reject)
    child.once('close', (code) => {
      kill.removeEventListener('abort', end)
      resolve({ code, output })
    })
  })
}
