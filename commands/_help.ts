import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { kit } from '../src/process/kit.ts'
import { pluginCommands, serviceCommands, serviceRoot } from './_find-commands.ts'
import { findOnce } from './_find-once.ts'
import type { Loadable } from './_folder.ts'
import { commands } from './_table.ts'

type Row = readonly [id: string, summary: string]

/**
 * Prints the list of commands. What of a service, or of its plugins, cannot be loaded is named on stderr, and fails; what could be is
 * known from then on, so that the list of a service is as quick as that of the kit.
 */
export async function printHelp(script: string): Promise<void> {
  const root = serviceRoot(script)
  const theirs = root && (await findOnce(`${kit().version} ${root}`, () => findRows(script, root)))
  const sections = Object.entries(theirs || {}).flatMap(([title, rows]) =>
    rows.length > 0 ? ['', title, ...table(rows)] : [],
  )
  console.log(
    [
      'Run and look after a Plinth service.',
      '',
      'USAGE',
      '  $ manage COMMAND',
      '',
      'COMMANDS',
      ...table(Object.entries(commands).map(([id, { summary }]) => [id, summary])),
      ...sections,
      '',
      'Each has more to say: manage COMMAND --help',
    ].join('\n'),
  )
}

/** What a service adds to the list, and the folders that this follows from. */
async function findRows(script: string, root: string) {
  let whole = true
  const tell = (error: unknown) => {
    console.error((error as Error).message)
    process.exitCode = 1
    whole = false
  }
  const rowsOf = async (table: Record<string, Loadable>): Promise<Row[]> => {
    const rows: Row[] = []
    for (const [id, { load }] of Object.entries(table)) {
      try {
        rows.push([id, (await load()).default.summary ?? ''])
      } catch (error) {
        tell(error)
      }
    }
    return rows
  }
  const own = serviceCommands(script)
  const none = { found: {}, folders: [] }
  const plugins = mayHavePlugins(root)
    ? await pluginCommands(script, own).catch((error) => {
        tell(error)
        return none
      })
    : none
  const found: Record<string, readonly Row[]> = {
    'COMMANDS OF THE SERVICE': await rowsOf(own),
    'COMMANDS OF ITS PLUGINS': await rowsOf(plugins.found),
  }
  const folders = [join(root, 'commands'), ...plugins.folders].flatMap(withFolders)
  return { found, places: [join(root, 'src/service.ts'), ...folders], whole }
}

/** One that is defined in its file, has the word nowhere and spreads nothing lists none: it need not be loaded to know that. */
function mayHavePlugins(root: string): boolean {
  const text = readFileSync(join(root, 'src/service.ts'), 'utf8')
  return !/\bdefineService\(\{/.test(text) || /\bplugins\b|\.\.\./.test(text)
}

/** A folder and those in it: a file that comes to one, or goes, changes that. */
function withFolders(folder: string): string[] {
  try {
    const inner = readdirSync(folder, { recursive: true, withFileTypes: true })
    const folders = inner.filter((one) => one.isDirectory())
    return [folder, ...folders.map(({ parentPath, name }) => join(parentPath, name))]
  } catch {
    // It may come.
    return [folder]
  }
}

function table(rows: readonly Row[]): string[] {
  const width = Math.max(...rows.map(([id]) => id.length))
  return rows.map(([id, summary]) => `  ${id.replaceAll(':', ' ').padEnd(width)}  ${summary}`)
}
