import { createRequire } from 'node:module'
import { errors, type PlinthError } from './errors.ts'

/**
 * Loads a CommonJS package that the kit brings, there where it is first needed: imported, every command would load it. Ajv and
 * what it has with it take as long as an empty Node.js.
 */
export const loadNow: (name: string) => unknown = createRequire(import.meta.url)

// What plugins and clients have in common: packages that not every service needs.

/**
 * The error about those of `names` that are not installed, which are packages that the kit does not bring.
 *
 * @returns PACKAGE_MISSING; `undefined`: all are there
 */
export function missingPackages(plugin: string, names: readonly string[]): PlinthError | undefined {
  const missing = names.filter((name) => !isInstalled(name))
  return missing.length > 0 ? errors.PACKAGE_MISSING(plugin, missing.join(' ')) : undefined
}

/** @throws {PlinthError} PACKAGE_MISSING, before they are needed */
export function requirePackages(plugin: string, names: readonly string[]): void {
  const error = missingPackages(plugin, names)
  if (error) throw error
}

function isInstalled(name: string): boolean {
  try {
    import.meta.resolve(name)
    return true
  } catch {
    return false
  }
}
