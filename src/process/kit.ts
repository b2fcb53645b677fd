import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What the kit's own package.json says. */
export interface Kit {
  readonly version: string
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
}

/** The kit's own package. */
export function kit(): Kit {
  return JSON.parse(readFileSync(join(kitFolder(), 'package.json'), 'utf8'))
}

/** The folder of the kit's own package. */
export function kitFolder(): string {
  // From src/process/ in the repository, from dist/chunks/ or dist/src/process/ in the package.
  for (const up of ['../..', '../../..']) {
    const folder = fileURLToPath(new URL(up, import.meta.url))
    if (existsSync(join(folder, 'package.json'))) return folder
  }
  throw new Error('the package.json of plinth is missing')
}
