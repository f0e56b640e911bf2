import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { ProcessScripts } from './cluster-plan.js'

/** The programs beside this one, in `apps/<name>/dist/main.js`. */
export function installedScripts(): ProcessScripts {
  return {
    broker: scriptOf('broker'),
    writeManager: scriptOf('write-manager'),
    readManager: scriptOf('read-manager'),
    loadBalancer: scriptOf('load-balancer'),
  }
}

function scriptOf(app: string): string {
  const path = fileURLToPath(new URL(`../../${app}/dist/main.js`, import.meta.url))
  if (!existsSync(path)) throw new Error(`${path} is missing: build first, with npm run build`)
  return path
}
