import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { ErrorFactory } from '../errors.ts'

/** A file of `migrations/` or `seeds/`. */
export interface NumberedFile {
  /** The file's name without its ending: `0001_create_city`; of a plugin with its name before it. */
  name: string
  path: string
}

/** A folder of a plugin's files: their names begin with the plugin's, `sms/0001_create_message`. */
export interface PluginFolder {
  readonly name: string
  readonly directory: string
}

/** Whose a file is, by its name: `sms/` of a plugin's, nothing of the service's own. */
export function sourceOf(name: string): string {
  return name.slice(0, name.lastIndexOf('/') + 1)
}

/** The error that is thrown for a file: where it is, and what is wrong with it. */
export type InvalidFile = ErrorFactory<[file: string, problem: string]>

/**
 * Lists the numbered modules of plugins, in the order in which they are given, and behind them those of a service.
 *
 * @throws {PlinthError} `invalid`
 */
export async function listWithPlugins(
  plugins: readonly PluginFolder[],
  directory: string,
  digits: number,
  invalid: InvalidFile,
): Promise<NumberedFile[]> {
  const folders = plugins.map(async (plugin) => {
    const files = await listNumbered(plugin.directory, digits, invalid)
    return files.map((file) => ({ ...file, name: `${plugin.name}/${file.name}` }))
  })
  const lists = await Promise.all([...folders, listNumbered(directory, digits, invalid)])
  return lists.flat()
}

/**
 * Lists the numbered modules of a folder by name. A folder that does not exist holds none; files that are
 * no code are left alone.
 *
 * @param digits how many digits a file's number has
 * @throws {PlinthError} `invalid` where a module has no number, or two have the same
 */
export async function listNumbered(
  directory: string,
  digits: number,
  invalid: InvalidFile,
): Promise<NumberedFile[]> {
  const modules = (await filesOf(directory))
    .filter((file) => /(?<!\.d)\.[cm]?[jt]s$/.test(file))
    .sort()
  const named = new RegExp(`^(\\d{${digits}})_[a-z0-9_]+(?=\\.[jt]s$)`)
  const seen = new Map<string, string>()
  return modules.map((file) => {
    const path = join(directory, file)
    const [name, number] = named.exec(file) ?? []
    if (!name || !number)
      throw invalid(path, `it should be called ${'0'.repeat(digits - 1)}1_name.ts`)
    // A squash has the number of the last migration that it replaces.
    const place = /^\d+_squashed_/.test(name) ? `${number}_squashed` : number
    if (seen.has(place)) throw invalid(path, `it has the same number as ${seen.get(place)}`)
    seen.set(place, file)
    return { name, path }
  })
}

async function filesOf(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/**
 * Imports a numbered module.
 *
 * @throws {PlinthError} `invalid`, with the line as far as it is known
 */
export async function importNumbered(
  { path }: NumberedFile,
  invalid: InvalidFile,
): Promise<Record<string, unknown>> {
  try {
    return await import(pathToFileURL(path).href)
  } catch (cause) {
    const { stack = '', message } = cause instanceof Error ? cause : new Error(String(cause))
    // Only the stack says where: a syntax error's first line, another error's first frame in the file.
    const line = new RegExp(`${basename(path)}:(\\d+)`).exec(stack)?.[1]
    throw invalid.with({ cause }, line ? `${path}:${line}` : path, message)
  }
}
