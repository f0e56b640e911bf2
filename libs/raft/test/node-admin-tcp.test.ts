import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from '@jest/globals'
import { eventually } from '@sluice/foundation/testing'
import { generate } from 'selfsigned'
import { askNode } from '../src/node/admin-client.js'
import { runAdmin } from '../src/node/admin-run.js'
import { forceRecovery } from '../src/node/force-recovery.js'
import { parseNodeAddress } from '../src/node/node-address.js'
import { type Member, submit, TcpCluster } from './node-tcp-cluster.js'

let cluster: TcpCluster | undefined
afterEach(async () => {
  await cluster?.close()
  cluster = undefined
})

async function make(...args: Parameters<typeof TcpCluster.make>): Promise<TcpCluster> {
  cluster = await TcpCluster.make(...args)
  return cluster
}

async function admin(member: Member, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const text = { out: '', err: '' }
  const code = await runAdmin(['--connect', member.address!, ...args], {
    ask: askNode,
    out: (part) => void (text.out += part),
    err: (part) => void (text.err += part),
  })
  return { code, ...text }
}

describe('raft-admin against running nodes', () => {
  test('prints the status that each node has of itself', async () => {
    const made = await make(3)
    const members = await made.startAll()
    await submit(members[0]!, 'x')
    for (const member of members) {
      const { code, out } = await admin(member, 'status')
      expect(code).toBe(0)
      expect(out).toContain(`self: ${member.address!}\n`)
      expect(out).toContain('has_quorum: true\n')
      expect(out).toContain('partner_nodes_count: 2\n')
    }
    const states = await Promise.all(members.map(async (member) => (await admin(member, 'status')).out))
    expect(states.filter((out) => out.includes('state: LEADER\n'))).toHaveLength(1)
  })

  test('adds a node, transfers leadership to it, and removes another', async () => {
    const made = await make(3)
    const others = made.addresses.slice(0, 2)
    const [a, b] = [await made.start(0, { others }), await made.start(1, { others })]
    await Promise.all([a.group.ready, b.group.ready])
    const [addressA, , addressC] = made.addresses as [string, string, string]
    expect(await admin(b, 'add', addressC)).toMatchObject({ code: 0, err: '' })
    const c = await made.start(2, { join: true })
    await c.group.ready
    await eventually(async () => expect((await admin(b, 'transfer', addressC)).code).toBe(0))
    await eventually(() => expect(c.group.node.group.isLeader).toBe(true))
    await eventually(async () => expect((await admin(b, 'remove', addressA)).code).toBe(0))
    await made.stop(a)
    expect(await submit(b, 'x')).toBe(1)
    expect((await admin(c, 'status')).out).toContain('partner_nodes_count: 1\n')
  })

  test('is denied the removal of the node that it asks', async () => {
    const made = await make(2)
    const members = await made.startAll()
    const { code, err } = await admin(members[0]!, 'remove', members[0]!.address!)
    expect(code).toBe(1)
    expect(err).toContain('REQUEST_DENIED')
    expect(members[0]!.group.node.group.configuration.voters).toHaveLength(2)
  })

  test('is not heard in another cluster, nor without the secret', async () => {
    const made = await make(1, { secret: 'a long enough secret' })
    const [only] = await made.startAll()
    expect(await admin(only!, 'status')).toMatchObject({ code: 1, out: '' })
    expect(await admin(only!, '--cluster', 'other', 'status')).toMatchObject({ code: 1, out: '' })
  })

  test('speaks TLS with certificates on both sides, and is not heard without', async () => {
    const files = await mkdtemp(join(tmpdir(), 'raft-tls-'))
    try {
      const authority = await generate([{ name: 'commonName', value: 'authority' }], {
        algorithm: 'sha256',
        extensions: [{ name: 'basicConstraints', cA: true }],
      })
      const signed = await generate([{ name: 'commonName', value: 'node' }], {
        algorithm: 'sha256',
        ca: { key: authority.private, cert: authority.cert },
      })
      const tls = { ca: authority.cert, cert: signed.cert, key: signed.private }
      for (const [name, pem] of Object.entries(tls)) await writeFile(join(files, name), pem)
      const made = await make(2, { tls })
      const members = await made.startAll()
      expect(await submit(members[1]!, 'x')).toBe(1)
      const options = ['ca', 'cert', 'key'].flatMap((name) => [`--tls-${name}`, join(files, name)])
      expect(await admin(members[0]!, ...options, 'status')).toMatchObject({ code: 0 })
      expect((await admin(members[0]!, '--timeout-ms', '3000', 'status')).code).toBe(1)
    } finally {
      await rm(files, { recursive: true })
    }
  })

  test('says that nobody answers', async () => {
    const made = await make(1)
    const [only] = await made.startAll()
    await made.stop(only!)
    expect((await admin(only!, '--timeout-ms', '500', 'status')).code).toBe(1)
  })
})

describe('recovery by force of a running cluster', () => {
  test('lets the survivors go on with everything they had, and with new commands', async () => {
    const made = await make(3)
    const members = await made.startAll()
    for (let i = 0; i < 5; i++) await submit(members[0]!, `x${i}`)
    await Promise.all(members.map(({ group }) => group.node.barrier()))
    for (const member of members) await made.stop(member)
    // Two of three are gone for good.
    await rm(made.directory(1), { recursive: true })
    await rm(made.directory(2), { recursive: true })
    const survivors = [parseNodeAddress(made.addresses[0]!)]
    const report = await forceRecovery({ dataDirectory: made.directory(0), survivors, acceptLoss: true })
    expect(report.lost).toEqual(made.addresses.slice(1).sort())
    const alone = await made.start(0)
    await alone.group.ready
    expect(alone.machine.texts).toEqual(['x0', 'x1', 'x2', 'x3', 'x4'])
    expect(await submit(alone, 'after')).toBe(6)
    expect(alone.group.hasQuorum).toBe(true)
  })

  test('brings the other survivors behind the one that was recovered', async () => {
    const made = await make(5)
    const members = await made.startAll()
    await submit(members[0]!, 'x')
    await Promise.all(members.map(({ group }) => group.node.barrier()))
    for (const member of members) await made.stop(member)
    const survivors = made.addresses.slice(0, 2).map(parseNodeAddress)
    await forceRecovery({ dataDirectory: made.directory(0), survivors, acceptLoss: true })
    const [a, b] = [await made.start(0), await made.start(1)]
    await Promise.all([a.group.ready, b.group.ready])
    expect(await submit(b, 'y')).toBe(2)
    expect(b.group.node.group.configuration.voters).toHaveLength(2)
  })
})
