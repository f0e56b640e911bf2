import { parseAuditQuery, parseHealthQuery, parseSettingsChange, SCHEMAS } from '@sluice/contracts'
import type { ClusterClient } from '@sluice/client'
import type { ClusterSettings } from '@sluice/metadata'
import type { FastifyInstance } from 'fastify'
import type { Administration } from './administration.js'
import { askerOf } from './call-identity.js'
import { auditPage, healthPage } from './health-view.js'

/** Who is alive, what has changed and why, and after what silence an actor is dead. */
export function addHealthRoutes(
  app: FastifyInstance,
  {
    administration,
    cluster,
  }: { readonly administration: Administration; readonly cluster: Pick<ClusterClient, 'metadata'> },
): void {
  app.get('/health-checks', { schema: SCHEMAS.listHealthChecks }, (request) => {
    const { rows, next } = healthPage(cluster.metadata.state, parseHealthQuery(request.query))
    return { status: 'success', health_checks: rows, next_after: next, message: `${rows.length} actors` }
  })

  app.get('/audit-events', { schema: SCHEMAS.listAuditEvents }, (request) => {
    const { rows, next } = auditPage(cluster.metadata.state, parseAuditQuery(request.query))
    return { status: 'success', audit_events: rows, next_after: next, message: `${rows.length} events` }
  })

  app.get('/settings', { schema: SCHEMAS.getSettings }, () => ({
    status: 'success',
    ...settingsView(cluster.metadata.state.settings),
    message: 'Settings of the cluster',
  }))

  app.patch('/settings', { schema: SCHEMAS.changeSettings }, async (request) => ({
    status: 'success',
    ...settingsView(await administration.changeSettings(parseSettingsChange(request.body), askerOf(request))),
    message: 'Settings changed',
  }))
}

function settingsView(settings: ClusterSettings): Record<string, unknown> {
  return {
    dead_after_ms: settings.deadAfterMs,
    rebuild_after_ms: Math.max(settings.rebuildAfterMs ?? 0, settings.deadAfterMs.broker),
    replication_factor: settings.replicationFactor,
    partitions_per_topic_max: settings.partitionsPerTopicMax,
    feature_level: settings.featureLevel,
  }
}
