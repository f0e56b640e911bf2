import { readFileSync } from 'node:fs'

export interface LogMessage {
  readonly topic: string
  readonly message: string
}

/** The lines of one producer's log: the last column is the topic, the rest of the line is the message. */
export function producerLog(producer: number): readonly LogMessage[] {
  const file = new URL(`../data/producer-logs/producer_${producer}.txt`, import.meta.url)
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const columns = line.replace(/\r$/, '').split('\t')
      return { topic: columns.at(-1)!, message: columns.slice(0, -1).join('\t') }
    })
}
