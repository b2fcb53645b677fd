import { globSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from '@oclif/core/command'
import { errors, PlinthError } from '../src/errors.ts'
import { importDefault } from '../src/process/load.ts'
import { locateService } from '../src/process/locate.ts'
import { type CommandEntry, commands } from './_table.ts'

type Loadable = Pick<CommandEntry, 'load'>

/**
 * A service's own commands: `commands/reindex.ts` is `reindex`, `commands/city/merge.ts` is `city:merge`.
 *
 * @throws {PlinthError} SERVICE_BROKEN where one begins with all the words of a command of the kit
 */
export function serviceCommands(script: string): Record<string, Loadable> {
  const root = serviceRoot(script)
  if (!root) return {}
  const files = globSync('commands/**/*.ts', { cwd: root }).filter((file) => !/(^|\/)_/.test(file))
  return Object.fromEntries(files.sort().map((name) => serviceCommand(root, name)))
}

function serviceCommand(root: string, name: string): [id: string, command: Loadable] {
  const file = join(root, name)
  const words = name.slice('commands/'.length, -'.ts'.length).split('/')
  const taken = ['help', ...Object.keys(commands)].find((id) => beginsWith(words, id))
  if (taken !== undefined) {
    throw errors.SERVICE_BROKEN(file, `${taken.replaceAll(':', ' ')} is a command of the kit`)
  }
  const what = 'a class that extends BaseCommand'
  const load = async () => ({
    default: await importDefault<typeof Command>(file, what, 'function'),
  })
  return [words.join(':'), { load }]
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
 * The classes of the command that `words` name and of all below it; where they name none, of all that begin with the
 * first word. Where they name one of the kit, the service is not looked at.
 *
 * @throws {PlinthError} USAGE_INVALID where there is none, with the nearest; SERVICE_BROKEN
 */
export async function findCommands(
  script: string,
  words: readonly string[],
): Promise<Record<string, typeof Command>> {
  const [word = ''] = words
  const own = longest(commands, words)
  const table = own === undefined ? { ...commands, ...serviceCommands(script) } : commands
  const start = own ?? longest(table, words) ?? word
  const found = Object.entries<Loadable>(table).filter(([id]) => beginsWith(id.split(':'), start))
  if (found.length === 0) throw unknown(word, Object.keys(table))
  const classes = found.map(async ([id, { load }]) => [id, (await load()).default] as const)
  return Object.fromEntries(await Promise.all(classes))
}

/** The id with the most words among those that `words` begin with. */
function longest(table: Record<string, unknown>, words: readonly string[]): string | undefined {
  const ids = Object.keys(table).filter((id) => beginsWith(words, id))
  return ids.sort((a, b) => a.length - b.length).at(-1)
}

function beginsWith(words: readonly string[], id: string): boolean {
  return id.split(':').every((word, i) => words[i] === word)
}

function unknown(word: string, ids: readonly string[]): PlinthError {
  const words = [...new Set(ids.map((id) => id.split(':')[0] as string))]
  const near = words.filter((known) => distance(known, word) <= 2)
  const hint = near.length > 0 ? `; did you mean ${near.join(' or ')}?` : ''
  return errors.USAGE_INVALID(`${word} is not a command of manage${hint}\nSee manage --help`)
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
