// A key-value store over HTTP on any number of nodes, each with a data directory:
//   node libs/raft/examples/dist/key-value.js ./data-1 8001 127.0.0.1:4001 127.0.0.1:4002 127.0.0.1:4003
//   curl -X PUT localhost:8001/greeting --data hello && curl localhost:8002/greeting
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { ReplicatedDict, ReplicatedMachine, SyncObject } from '@sluice/raft'

const [dataDirectory, port, self = '', ...others] = process.argv.slice(2)
const machine = new ReplicatedMachine()
const store = machine.add('store', new ReplicatedDict<string, string>())
const sync = await SyncObject.open({
  self,
  others,
  machine,
  config: { ...(dataDirectory === undefined ? {} : { dataDirectory }) },
})

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const key = decodeURIComponent((request.url ?? '/').slice(1))
  const options = { timeoutMs: 5000 }
  switch (request.method) {
    case 'PUT':
      await store.with(options).set(key, await text(request))
      response.writeHead(204).end()
      return
    case 'DELETE':
      await store.with(options).pop(key, undefined)
      response.writeHead(204).end()
      return
    default: {
      // Sees every PUT that was answered before, on whatever node.
      const value = await store.with(options).get(key)
      response.writeHead(value === undefined ? 404 : 200).end(value)
    }
  }
}

createServer((request, response) => {
  answer(request, response).catch((error: unknown) => response.writeHead(503).end(`${String(error)}\n`))
}).listen(Number(port))
process.once('SIGINT', () => void sync.destroy().then(() => process.exit(0)))
