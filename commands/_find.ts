import { globSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from '@oclif/core/command'
import { errors, PlinthError } from '../src/errors.ts'
import { importDefault } from '../src/process/load.ts'
import { locateService } from '../src/process/locate.ts'
import { type CommandEntry, commands } from './_table.ts'

/** A service's own commands: `commands/reindex.ts` is `reindex`, `commands/city/merge.ts` is `city:merge`. */
export function serviceCommands(script: string): Record<string, { file: string }> {
  const root = serviceRoot(script)
  if (!root) return {}
  const files = globSync('commands/**/*.ts', { cwd: root }).filter((file) => !/(^|\/)_/.test(file))
  return Object.fromEntries(
    files.sort().map((file) => {
      const id = file
        .replace(/^commands\//, '')
        .replace(/\.ts$/, '')
        .replaceAll('/', ':')
      const word = id.split(':')[0] as string
      if (commands[word])
        throw errors.SERVICE_BROKEN(join(root, file), `${word} is a command of the kit`)
      return [id, { file: join(root, file) }]
    }),
  )
}

// Outside of a service the kit's own commands can still be listed.
function serviceRoot(script: string): string | undefined {
  try {
    return locateService(script).root
  } catch (error) {
    if (PlinthError.is(error) && error.code === 'SERVICE_NOT_FOUND') return undefined
    throw error
  }
}

/**
 * The classes of every command whose id begins with `word`, by id. Where there is none it says so on
 * stderr, with the nearest, and returns `undefined`.
 */
export async function findCommands(
  script: string,
  word: string,
): Promise<Record<string, typeof Command> | undefined> {
  const own = commandsOf(commands, word)
  const table = own.length > 0 ? {} : serviceCommands(script)
  const files = commandsOf(table, word)
  if (own.length + files.length === 0) {
    reportUnknown(word, [...Object.keys(commands), ...Object.keys(table)])
    return undefined
  }
  const classes = [
    ...own.map(async ([id, entry]) => [id, (await entry.load()).default] as const),
    ...files.map(async ([id, { file }]) => [id, await importCommand(file)] as const),
  ]
  return Object.fromEntries(await Promise.all(classes))
}

/** @throws {PlinthError} SERVICE_BROKEN */
export function importCommand(file: string): Promise<typeof Command> {
  return importDefault(file, 'a class that extends BaseCommand', 'function')
}

function commandsOf<T extends CommandEntry | { file: string }>(
  table: Readonly<Record<string, T>>,
  word: string,
): [string, T][] {
  return Object.entries(table).filter(([id]) => id === word || id.startsWith(`${word}:`))
}

function reportUnknown(word: string, ids: readonly string[]): void {
  const words = [...new Set(ids.map((id) => id.split(':')[0] as string))]
  const near = words.filter((known) => distance(known, word) <= 2)
  const hint = near.length > 0 ? `; did you mean ${near.join(' or ')}?` : ''
  console.error(`${word} is not a command of manage${hint}\nSee manage --help`)
}

/** The edit distance (Levenshtein) of two words. */
function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      current.push(Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, replaced))
    }
    previous = current
  }
  return previous[b.length] ?? 0
}
