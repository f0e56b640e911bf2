import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'

/** Every file below a directory by its path and content: equal before and after when nothing was changed. */
export function fingerprint(directory: string): Record<string, string> {
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()
  return Object.fromEntries(
    files
      .filter((file) => statSync(path.join(directory, file)).isFile())
      .map((file) => [
        file,
        createHash('sha256')
          .update(readFileSync(path.join(directory, file)))
          .digest('hex'),
      ]),
  )
}

/** Whether the bytes are in any file of a directory. */
export function contains(directory: string, bytes: Buffer): boolean {
  return readdirSync(directory).some((file) => readFileSync(path.join(directory, file)).includes(bytes))
}
