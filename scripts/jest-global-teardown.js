/** Stops the PostgreSQL of a Jest run and removes its data. */
export default async function teardown() {
  await globalThis.sluiceTestPostgres?.stop()
}
