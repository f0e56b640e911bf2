import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { messageOf } from '@sluice/foundation'
import { noteGivenUp } from './given-up.js'
import { applyPlan } from './recovery/apply.js'
import { readView } from './recovery/broker-client.js'
import { makePlan, parsePlan, RecoveryError, type RecoveryPlan, type Survivor } from './recovery/plan.js'
import { describePlan } from './recovery/plan-text.js'
import { runningBrokers } from './status-command.js'

export interface RecoverPlanOptions {
  /** The brokers that run from this directory are the survivors, unless they are named. */
  readonly dataDirectory: string
  /** Where brokers answer: `127.0.0.1:7001`. */
  readonly brokers: readonly string[]
  /** Where the plan is written; by default named after its id. */
  readonly file: string | undefined
}

/** Reads what the survivors have and writes a plan. Changes nothing. @returns lines to print */
export async function recoverPlan({
  dataDirectory,
  brokers,
  file,
}: RecoverPlanOptions): Promise<readonly string[]> {
  const addresses = brokers.length > 0 ? brokers : runningBrokers(dataDirectory)
  const survivors: Survivor[] = []
  for (const address of addresses)
    try {
      survivors.push({ address, view: await readView(address) })
    } catch (error) {
      throw new RecoveryError(`the broker at ${address} does not answer: ${messageOf(error)}`, {
        cause: error,
      })
    }
  const plan = makePlan(survivors, new Date())
  const path = file ?? `sluice-recovery-${plan.id}.json`
  writePlan(path, plan)
  return [
    ...describePlan(plan),
    '',
    `Nothing was changed. The plan is in ${path}; to carry it out:`,
    `  sluice recover apply --plan ${path} --confirm ${plan.id}`,
  ]
}

/** Never over another plan: that one may be half carried out. */
function writePlan(path: string, plan: RecoveryPlan): void {
  try {
    writeFileSync(path, `${JSON.stringify(plan, null, 2)}\n`, { flag: 'wx', flush: true })
  } catch (error) {
    const isThere = error instanceof Error && 'code' in error && error.code === 'EEXIST'
    throw new RecoveryError(
      isThere
        ? `${path} is there already, and may be a plan that was begun: name another file with --out`
        : `the plan cannot be written: ${messageOf(error)}`,
      { cause: error },
    )
  }
}

export interface RecoverApplyOptions {
  /** Of the cluster, where `sluice start` runs it: those that are given up are not started there again. */
  readonly dataDirectory: string
  readonly file: string
  /** Asked for where it is absent, at a terminal. */
  readonly confirm: string | undefined
  readonly operator: string
  readonly say: (line: string) => void
}

export async function recoverApply(options: RecoverApplyOptions): Promise<void> {
  const { dataDirectory, file, confirm, operator, say } = options
  const plan = parsePlan(readFileSync(file, 'utf8'))
  for (const line of describePlan(plan)) say(line)
  const typed = confirm ?? (await ask(plan.id))
  await applyPlan({ plan, confirm: typed, operator, say })
  noteGivenUp(
    dataDirectory,
    plan.cluster_id,
    plan.lost.map(({ broker_id }) => broker_id),
  )
  say(`Recovered. GET /audit-events tells what was done, under recovery/${plan.id}.`)
  say('Never start a broker that was given up with its old data again; it is refused.')
}

async function ask(id: string): Promise<string> {
  if (!process.stdin.isTTY)
    throw new RecoveryError(`confirm what may be lost with --confirm ${id}; nothing was changed`)
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  try {
    return (await terminal.question(`Type the id of the plan to carry it out: `)).trim()
  } finally {
    terminal.close()
  }
}
