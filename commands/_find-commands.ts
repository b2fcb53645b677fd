import { join } from 'node:path'
import type { Command } from '@oclif/core/command'
import { errors, PlinthError } from '../src/errors.ts'
import { locateService } from '../src/process/locate.ts'
import { commandsIn, type Loadable } from './_folder.ts'
import { commands } from './_table.ts'

/**
 * A service's own commands: `commands/reindex.ts` is `reindex`, `commands/db/anonymize.ts` is `db:anonymize`.
 *
 * @throws {PlinthError} SERVICE_BROKEN where the kit has a command of that name
 */
export function serviceCommands(script: string): Record<string, Loadable> {
  const root = serviceRoot(script)
  return root ? commandsIn(join(root, 'commands'), { 'a command of the kit': commands }) : {}
}

/** What the commands of a plugin are, and in which folders. */
interface PluginCommands {
  found: Record<string, Loadable>
  folders: string[]
}

/**
 * The commands that the plugins of a service bring; the service is loaded for them.
 *
 * @throws {PlinthError} SERVICE_BROKEN where there is one of that name already, or the service cannot be loaded
 */
export async function pluginCommands(
  script: string,
  own: Record<string, Loadable>,
): Promise<PluginCommands> {
  const { loadService } = await import('./_service.ts')
  const { foldersOf } = await import('../src/kit.ts')
  const { service } = await loadService(script)
  const found: Record<string, Loadable> = {}
  const folders = foldersOf(service, 'commands').map(({ directory }) => directory)
  for (const directory of folders) {
    const taken = {
      'a command of the kit': commands,
      'a command of the service': own,
      'a command of another plugin': found,
    }
    Object.assign(found, commandsIn(directory, taken))
  }
  return { found, folders }
}

// Outside of a service the kit's own commands can still be listed.
export function serviceRoot(script: string): string | undefined {
  try {
    return locateService(script).root
  } catch (error) {
    if (PlinthError.is(error) && error.code === 'SERVICE_NOT_FOUND') return undefined
    throw error
  }
}

/**
 * The classes of the command that `words` name, and of those of the kit below it; where they name none, or ask for help, of
 * all that begin so. The service is looked at where words follow that the kit does not know: they may name a command of it.
 *
 * @throws {PlinthError} USAGE_INVALID where there is none, with the nearest; SERVICE_BROKEN
 */
export async function findCommands(
  script: string,
  words: readonly string[],
): Promise<Record<string, typeof Command>> {
  const [word = ''] = words
  const asksHelp = words.some((one) => one === '--help' || one === '-h')
  const table = await tableFor(script, words, asksHelp)
  const start = longest(table, words) ?? word
  const isAlone = !asksHelp && Object.hasOwn(table, start)
  const found = Object.entries<Loadable>(table).filter(
    ([id]) =>
      id === start ||
      (beginsWith(id.split(':'), start) && (!isAlone || Object.hasOwn(commands, id))),
  )
  if (found.length === 0) throw unknown(word, Object.keys(table))
  const classes = found.map(async ([id, { load }]) => [id, (await load()).default] as const)
  return Object.fromEntries(await Promise.all(classes))
}

async function tableFor(
  script: string,
  words: readonly string[],
  asksHelp: boolean,
): Promise<Record<string, Loadable>> {
  const kit = longest(commands, words)
  const next = words[kit?.split(':').length ?? 0]
  if (!asksHelp && kit !== undefined && (next === undefined || !isWord(next))) return commands
  const own = serviceCommands(script)
  const table = { ...commands, ...own }
  if (!asksHelp && longest(table, words) !== kit) return table
  try {
    const { found } = serviceRoot(script) ? await pluginCommands(script, own) : { found: {} }
    return { ...table, ...found }
  } catch (error) {
    // A word that is mistyped is told as that, and what the kit has itself needs no service.
    if (kit === undefined && !nearest(words[0] ?? '', Object.keys(table))[0]) throw error
    return table
  }
}

const isWord = (text: string): boolean => /^[a-z][\w-]*$/i.test(text)

/** The id with the most words among those that `words` begin with. */
function longest(table: Record<string, unknown>, words: readonly string[]): string | undefined {
  const ids = Object.keys(table).filter((id) => beginsWith(words, id))
  return ids.sort((a, b) => a.length - b.length).at(-1)
}

function beginsWith(words: readonly string[], id: string): boolean {
  return id.split(':').every((word, i) => words[i] === word)
}

function unknown(word: string, ids: readonly string[]): PlinthError {
  const near = nearest(word, ids)
  const hint = near.length > 0 ? `; did you mean ${near.join(' or ')}?` : ''
  return errors.USAGE_INVALID(`${word} is not a command of manage${hint}\nSee manage --help`)
}

function nearest(word: string, ids: readonly string[]): string[] {
  const words = [...new Set(ids.map((id) => id.split(':')[0] as string))]
  return words.filter((known) => distance(known, word) <= 2)
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
