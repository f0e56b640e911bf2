import { checkConsumers } from './check-consumers.js'
import { checkCopies } from './check-copies.js'
import { checkEmptiness } from './check-emptiness.js'
import { checkLosses } from './check-losses.js'
import { checkMetadata } from './check-metadata.js'
import { checkOrder } from './check-order.js'
import { checkReplicas } from './check-replicas.js'
import { checkRetention } from './check-retention.js'
import { groupBy } from './grouping.js'
import type { Contents, History, Violation, WrongAnswer } from './history.js'

/** Every promise, held against what the clients were told and what is there in the end. */
export function checkEverything(
  history: History,
  contents: Contents,
  replicationFactor: number,
): readonly Violation[] {
  return [
    ...checkLosses(history.sent, contents),
    ...checkCopies(history.sent, contents),
    ...checkReplicas(contents, replicationFactor),
    ...checkOrder(history.sent),
    ...checkRetention(history.kept, contents),
    ...checkConsumers(history, contents),
    ...checkEmptiness(history.consumers, history.sent),
    ...checkMetadata(history.registrations, contents),
    ...wrongAnswers(history.wrongAnswers),
  ]
}

/** One violation for each kind of answer: the first call that got it, and how many did. */
function wrongAnswers(answers: readonly WrongAnswer[]): readonly Violation[] {
  const groups = groupBy(
    answers,
    ({ status, body }) => `${status} ${/"code":"[A-Z_]+"/.exec(body)?.[0] ?? ''}`,
  )
  return Array.from(groups.values(), (group) => {
    const { call, status, body } = group[0]!
    return {
      check: 'wrong-answer',
      detail: `${group.length} calls, the first of them ${call}, were answered ${status} ${body.slice(0, 300)}`,
    }
  })
}
