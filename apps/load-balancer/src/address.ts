/** Where a manager listens, as `http://host:port` with nothing after it. */
export interface ManagerAddress {
  readonly origin: string
  /** `host:port`, as messages and logs name it. */
  readonly label: string
}

/**
 * Reads `http://127.0.0.1:7101` or `127.0.0.1:7101`.
 *
 * @throws Error with a sentence when the text is no such address
 */
export function parseManagerAddress(text: string): ManagerAddress {
  const spelt = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`
  let url: URL
  try {
    url = new URL(spelt)
  } catch (cause) {
    throw new Error(`"${text}" is not an address such as http://127.0.0.1:7101`, { cause })
  }
  const bare =
    url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '' && url.password === ''
  if (url.protocol !== 'http:' || url.hostname === '' || !bare) {
    throw new Error(`"${text}" is not an address such as http://127.0.0.1:7101`)
  }
  return { origin: url.origin, label: url.port === '' ? `${url.host}:80` : url.host }
}
