import { readFileSync } from 'node:fs'

/** The kit's own package: its version. */
export function kit(): { version: string } {
  // From src/process/ in the repository, from dist/src/process/ in the package.
  for (const up of ['../../package.json', '../../../package.json']) {
    try {
      return JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8'))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  throw new Error('the package.json of plinth is missing')
}
