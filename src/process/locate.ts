import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve, sep } from 'node:path'
import { errors } from '../errors.ts'

/** Where a service lives. */
export interface ServiceLocation {
  /** Its folder: `.env`, `migrations/`, `seeds/` and `commands/` are looked for here. */
  root: string
  /** The module whose default export is what `defineService` made. */
  file: string
}

/**
 * Finds the service that a `manage` command is for: the folder that `PLINTH_SERVICE` names, else the
 * package that the script belongs to, else the nearest one above the working folder.
 *
 * @param script the real path of the `manage` script
 * @throws {PlinthError} SERVICE_NOT_FOUND
 */
export function locateService(
  script: string,
  cwd = process.cwd(),
  env: NodeJS.ProcessEnv = process.env,
): ServiceLocation {
  const named = env.PLINTH_SERVICE
  if (named) return inFolder(resolve(cwd, named)) ?? raise(named)
  // A script under node_modules belongs to the kit, not to a service.
  const own = script.includes(`${sep}node_modules${sep}`) ? undefined : upwards(dirname(script))
  return own ?? upwards(cwd) ?? raise(cwd)
}

function raise(start: string): never {
  throw errors.SERVICE_NOT_FOUND(start)
}

function upwards(start: string): ServiceLocation | undefined {
  for (let folder = start; ; folder = dirname(folder)) {
    const found = fromPackage(folder)
    if (found) return found
    if (folder === dirname(folder)) return undefined
  }
}

interface PackageJson {
  plinth?: { service?: string }
  dependencies?: Record<string, string>
}

function fromPackage(folder: string): ServiceLocation | undefined {
  const file = join(folder, 'package.json')
  if (!existsSync(file)) return undefined
  const { plinth, dependencies }: PackageJson = JSON.parse(readFileSync(file, 'utf8'))
  if (plinth?.service) return inFolder(join(folder, plinth.service))
  return dependencies?.plinth ? inFolder(folder) : undefined
}

function inFolder(root: string): ServiceLocation | undefined {
  const file = join(root, 'src/service.ts')
  return existsSync(file) ? { root, file } : undefined
}
