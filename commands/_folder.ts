import { globSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from '@oclif/core/command'
import { errors } from '../src/errors.ts'
import { importDefault } from '../src/process/load.ts'

/** A command whose module is loaded when it is run or its help is asked for. */
export interface Loadable {
  load(): Promise<{ default: typeof Command }>
}

/** The commands of a folder: what begins with `_` is none. */
export function commandsIn(
  folder: string,
  taken: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
): Record<string, Loadable> {
  const files = globSync('**/*.{ts,js}', { cwd: folder })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => !/(^|\/)_|\.d\.ts$/.test(file))
  return Object.fromEntries(files.sort().map((name) => commandIn(folder, name, taken)))
}

function commandIn(
  folder: string,
  name: string,
  taken: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
): [id: string, command: Loadable] {
  const file = join(folder, name)
  const id = name.slice(0, -'.ts'.length).replaceAll('/', ':')
  const owner =
    id === 'help'
      ? 'a command of the kit'
      : Object.keys(taken).find((one) => Object.hasOwn(taken[one] ?? {}, id))
  if (owner !== undefined)
    throw errors.SERVICE_BROKEN(file, `${id.replaceAll(':', ' ')} is ${owner}`)
  const what = 'a class that extends BaseCommand'
  const load = async () => ({
    default: await importDefault<typeof Command>(file, what, 'function'),
  })
  return [id, { load }]
}
