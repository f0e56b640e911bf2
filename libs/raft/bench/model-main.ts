import { serveCalls } from './calls.js'
import type { ModelCalls } from './model-calls.js'
import { ModelNode } from './model-node.js'

const node = new ModelNode()

serveCalls<ModelCalls>({
  follow: (path) => node.follow(path),
  lead: (path, ports) => node.lead(path, ports),
  load: (shape) => node.load(shape),
})
