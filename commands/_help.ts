import { serviceCommands } from './_find.ts'
import { commands } from './_table.ts'

/** Prints the list of commands. A command of the service that cannot be loaded is named on stderr, and fails. */
export async function printHelp(script: string): Promise<void> {
  const own = Object.entries(commands).map(([id, { summary }]) => [id, summary] as const)
  const theirs: [string, string][] = []
  for (const [id, { load }] of Object.entries(serviceCommands(script))) {
    try {
      theirs.push([id, (await load()).default.summary ?? ''])
    } catch (error) {
      console.error((error as Error).message)
      process.exitCode = 1
    }
  }
  const service = theirs.length > 0 ? ['', 'COMMANDS OF THE SERVICE', ...table(theirs)] : []
  console.log(
    [
      'Run and look after a Plinth service.',
      '',
      'USAGE',
      '  $ manage COMMAND',
      '',
      'COMMANDS',
      ...table(own),
      ...service,
      '',
      'Each has more to say: manage COMMAND --help',
    ].join('\n'),
  )
}

function table(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([id]) => id.length))
  return rows.map(([id, summary]) => `  ${id.replaceAll(':', ' ').padEnd(width)}  ${summary}`)
}
