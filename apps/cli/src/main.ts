#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { messageOf, systemClock } from '@sluice/foundation'
import { Command } from 'commander'
import { runExtraBroker } from './broker-command.js'
import { recoverApply, recoverPlan } from './recover-command.js'
import { type DataPaths } from './data-paths.js'
import { type DatabaseServer, ExistingServers } from './database-server.js'
import { EmbeddedPostgres } from './embedded-postgres.js'
import { installedScripts } from './scripts.js'
import { type ClusterSettings, readSettings, type SettingsFlags } from './settings.js'
import { runCluster } from './start-command.js'
import { explainFailure } from './failure-text.js'
import { describeStatus } from './status-command.js'
import { stopSignals } from './stop-signals.js'
import { Terminal } from './terminal.js'
import { verify } from './verify-command.js'

/** Settings may lie in a file `.env` where we are started; what the environment says comes first. */
if (existsSync('.env')) process.loadEnvFile('.env')

const clock = systemClock
const colour = process.stdout.isTTY && process.env['NO_COLOR'] === undefined
const terminal = new Terminal(process.stdout, clock, { colour })
/** The children get our environment, except what says how to reach a parent of ours. */
const baseEnv = Object.fromEntries(
  Object.entries(process.env).flatMap(([name, value]) =>
    value === undefined || name.startsWith('NODE_CHANNEL') ? [] : [[name, value] as const],
  ),
)

const program = new Command('sluice').description('A pub/sub message broker on this machine.')

program
  .command('start', { isDefault: true })
  .description('starts a whole cluster and runs it until Ctrl-C')
  .option('--brokers <number>', 'brokers (SLUICE_BROKER_COUNT, 3)')
  .option('--read-managers <number>', 'read managers (SLUICE_READ_MANAGER_COUNT, 2)')
  .option('--write-managers <number>', 'write managers (SLUICE_WRITE_MANAGER_COUNT, 1)')
  .option(
    '--load-balancers <number>',
    'load balancers (SLUICE_LOAD_BALANCER_COUNT, 1), on the public port and those behind it',
  )
  .option('--port <number>', 'public port (SLUICE_PORT, 8080)')
  .option('--data-dir <path>', 'directory that holds everything (SLUICE_DATA_DIR, ./.sluice)')
  .action(async (flags: SettingsFlags) => {
    await guarded(async () => {
      const settings = readSettings(process.env, flags)
      const stop = stopSignals(process, clock, terminal)
      const parts = {
        settings,
        scripts: installedScripts(),
        baseEnv,
        terminal,
        clock,
        openDatabases: opener(settings),
      }
      await runCluster(parts, stop.signal, (cluster) => stop.onSecond(() => cluster.killAll()))
      terminal.plain('stopped')
    })
  })

program
  .command('broker')
  .description(
    'runs one more broker beside a running cluster, until Ctrl-C; it waits to be added by POST /broker',
  )
  .requiredOption('--port <number>', 'port of the broker')
  .option('--data-dir <path>', 'data directory of the cluster (SLUICE_DATA_DIR, ./.sluice)')
  .action(async (flags: { readonly port: string; readonly dataDir?: string }) => {
    await guarded(async () => {
      const settings = readSettings(process.env, flags)
      const stop = stopSignals(process, clock, terminal)
      const { dataDirectory, port, databasePrefix } = settings
      const script = installedScripts().broker
      await runExtraBroker(
        { dataDirectory, port, databasePrefix, times: settings, script, baseEnv, terminal, clock },
        stop.signal,
        (broker) => stop.onSecond(() => broker.kill()),
      )
      terminal.plain('stopped')
    })
  })

program
  .command('status')
  .description('lists the processes of a cluster, and whether they run; exit code 1 when one does not')
  .option('--data-dir <path>', 'data directory of the cluster (SLUICE_DATA_DIR, ./.sluice)')
  .action(async (flags: SettingsFlags) => {
    await guarded(() => {
      const { lines, running } = describeStatus(readSettings(process.env, flags).dataDirectory)
      for (const line of lines) terminal.plain(line)
      if (!running) process.exitCode = 1
    })
  })

program
  .command('verify')
  .description(
    'compares what the replicas of every partition have stored, and mends what differs from the majority; ' +
      'exit code 1 when something was different, 2 when not everything could be compared',
  )
  .option('--topic <name>', 'only the partitions of this topic')
  .option('--broker <host:port...>', 'brokers to ask, instead of those of the data directory')
  .option('--data-dir <path>', 'data directory of the cluster (SLUICE_DATA_DIR, ./.sluice)')
  .action(async (flags: SettingsFlags & { readonly topic?: string; readonly broker?: string[] }) => {
    await guarded(async () => {
      const { dataDirectory } = readSettings(process.env, flags)
      const { lines, exitCode } = await verify({
        dataDirectory,
        brokers: flags.broker ?? [],
        topic: flags.topic,
      })
      for (const line of lines) terminal.plain(line)
      process.exitCode = exitCode
    })
  })

interface ApplyFlags {
  readonly plan: string
  readonly confirm?: string
  readonly operator?: string
}

const recover = program
  .command('recover')
  .description('gives brokers up that are lost for good, where too few are left for a majority')

recover
  .command('plan')
  .description(
    'asks the survivors what is left and writes a plan, which says what may be lost; changes nothing',
  )
  .option('--broker <host:port...>', 'the survivors, instead of the brokers that run from the data directory')
  .option('--data-dir <path>', 'data directory of the cluster (SLUICE_DATA_DIR, ./.sluice)')
  .option('--out <file>', 'where the plan is written (./sluice-recovery-<id>.json)')
  .action(async (flags: SettingsFlags & { readonly broker?: string[]; readonly out?: string }) => {
    await guarded(async () => {
      const { dataDirectory } = readSettings(process.env, flags)
      const lines = await recoverPlan({ dataDirectory, brokers: flags.broker ?? [], file: flags.out })
      for (const line of lines) terminal.plain(line)
    })
  })

recover
  .command('apply')
  .description(
    'carries a plan out, unless it does not fit any more; may be run again when it was interrupted',
  )
  .requiredOption('--plan <file>', 'the plan')
  .option('--confirm <id>', 'the id of the plan: what it says may be lost is accepted')
  .option('--operator <name>', 'who answers for it, for the audit trail (the user that runs this)')
  .option('--data-dir <path>', 'data directory of the cluster (SLUICE_DATA_DIR, ./.sluice)')
  .action(async (flags: SettingsFlags & ApplyFlags) => {
    await guarded(async () => {
      await recoverApply({
        dataDirectory: readSettings(process.env, flags).dataDirectory,
        file: flags.plan,
        confirm: flags.confirm,
        operator: flags.operator ?? userInfo().username,
        say: (line) => terminal.plain(line),
      })
    })
  })

await program.parseAsync()

/** Failures are told in a few lines; the stack of a mistake of ours is shown when SLUICE_LOG_LEVEL is debug. */
async function guarded(action: () => void | Promise<void>): Promise<void> {
  try {
    await action()
  } catch (error) {
    for (const line of explainFailure(error)) terminal.failure(line)
    if (process.env['SLUICE_LOG_LEVEL'] === 'debug' && error instanceof Error)
      terminal.plain(error.stack ?? messageOf(error))
    process.exitCode = 1
  }
}

function opener(settings: ClusterSettings) {
  return async (paths: DataPaths, port: number | undefined, changed: () => void): Promise<DatabaseServer> => {
    if (settings.databaseUrls.length > 0) return new ExistingServers(settings.databaseUrls)
    const logFile = join(paths.logs, 'postgres.log')
    const { restartDelayMs } = settings
    return EmbeddedPostgres.start({
      dataDirectory: paths.postgres,
      logFile,
      port,
      restartDelayMs,
      terminal,
      clock,
      changed,
    })
  }
}
