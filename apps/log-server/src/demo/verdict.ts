/** When a server stopped hearing anything for good. */
export interface LastCrash {
  /** The `/crash` call was answered then; `undefined` when the server was up at the end. Milliseconds. */
  readonly crashedAtMs: number | undefined
}

/** An entry that the client was told is stored. */
export interface LoggedEntry {
  readonly text: string
  /** When it was sent and when the answer came, milliseconds. */
  readonly sentAtMs: number
  readonly answeredAtMs: number
}

export interface Verdict {
  /** What must never be: lost, invented, doubled or reordered entries. */
  readonly faults: readonly string[]
  /**
   * What no log could avoid: a server that crashed before an entry and never came back lacks it, since it
   * may not talk to anybody.
   */
  readonly unavoidableMisses: readonly string[]
}

/** Compares what the client was told with what every server wrote. */
export function judge(
  logged: readonly LoggedEntry[],
  servers: readonly ({ readonly name: string; readonly lines: readonly string[] } & LastCrash)[],
): Verdict {
  const faults: string[] = []
  const unavoidableMisses: string[] = []
  const told = new Map(logged.map((entry) => [entry.text, entry]))
  const longest = servers.reduce<readonly string[]>(
    (best, { lines }) => (lines.length > best.length ? lines : best),
    [],
  )
  for (const { name, lines, crashedAtMs } of servers) {
    const held = new Set(lines)
    if (held.size !== lines.length) faults.push(`${name} holds ${lines.length - held.size} entries twice`)
    for (const line of held)
      if (!told.has(line)) faults.push(`${name} holds ${line}, which the client was not told`)
    const differs = lines.findIndex((line, i) => line !== longest[i])
    if (differs >= 0) faults.push(`${name} differs from the longest log at entry ${differs}`)
    for (const entry of logged) {
      if (held.has(entry.text)) continue
      const wasAway = crashedAtMs !== undefined && entry.answeredAtMs > crashedAtMs
      const miss = `${name} lacks ${entry.text}`
      if (wasAway) unavoidableMisses.push(miss)
      else faults.push(miss)
    }
  }
  return { faults, unavoidableMisses }
}
