import { serveCalls } from './calls.js'
import { Member } from './member.js'
import type { MemberCalls } from './member-calls.js'

const member = new Member()

serveCalls<MemberCalls>({
  start: (settings) => member.start(settings),
  connect: (peers) => member.connect(peers),
  openGroups: (count) => member.openGroups(count),
  settle: () => member.settle(),
  tick: () => member.tick(),
  lead: (groups) => member.lead(groups),
  quiesce: () => member.quiesce(),
  load: (shape) => member.load(shape),
  serveWhenLeading: (shape) => member.serveWhenLeading(shape),
  state: () => member.state(),
  collectGarbage: () => member.collectGarbage(),
  disk: () => member.disk(),
  usage: () => member.usage(),
})
