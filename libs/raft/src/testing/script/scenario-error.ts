/** A scenario that cannot be played: a command that does not exist, or cannot be done where it stands. */
export class ScenarioError extends Error {
  override readonly name = 'ScenarioError'
}
