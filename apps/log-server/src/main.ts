#!/usr/bin/env node
import { messageOf } from '@sluice/foundation'
import { type LogServerArguments, parseArguments, USAGE, UsageError } from './arguments.js'
import { startLogServer } from './log-server.js'

function fail(message: string, code: number): never {
  console.error(`log-server: ${message}`)
  process.exit(code)
}

function explained(error: unknown, { self }: LogServerArguments): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const address = `${self.host}:${self.port}`
  if (code === 'EADDRINUSE') return `${address} is in use by another process`
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') return `${address} is no address of this machine`
  if (code === 'ENOENT') return 'there is no folder output/ here; the log would have no place'
  return messageOf(error)
}

function read(): LogServerArguments {
  try {
    return parseArguments(process.argv.slice(2))
  } catch (error) {
    if (error instanceof UsageError) fail(`${error.message}\n\n${USAGE}`, 2)
    throw error
  }
}

const settings = read()
try {
  const server = await startLogServer(settings, {
    folder: process.cwd(),
    onFatal: (error) => fail(error.message, 1),
  })
  console.log(
    `node ${settings.nodeId} of ${settings.nodes.length} listens on ${settings.self.host}:${settings.self.port}`,
  )
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(0))
  await server.ended
  process.exit(0)
} catch (error) {
  fail(explained(error, settings), 1)
}
