import { parseArgs } from 'node:util'
import { SetupError } from '../test/servers/ready.ts'
import { routes } from './routes.ts'

export interface Options {
  /** How often each server is started anew to be loaded. */
  boots: number
  /** How many slices of load each server gets on each route, after each start. */
  slices: number
  /** Milliseconds of one slice. */
  slice: number
  /** Seconds on a CPU that a server spends on each route before it is measured: its code has been compiled then. */
  warm: number
  /** How many pairs of starts are timed. */
  pairs: number
  /** How many processes each server is that is loaded; plain ones by `node:cluster`. */
  workers: number
  /** How many tasks each side enqueues and runs. */
  tasks: number
  /** How many rows the long table of pages has. */
  rows: number
  /** How many rows the table has whose columns a migration changes. */
  altered: number
  /** Seconds for the load; where the machine is slow, there are fewer starts. */
  budget: number
  /** What is measured: routes by name, `bare`, `tokens`, `telemetry`, `cached`, `startup`, `help`, `migrations`, `tasks`, `pages`, `upstream`, `remote`, `testing`. */
  only: ReadonlySet<string>
  build: boolean
  json: boolean
}

const USAGE = `npm run bench -- [flags]
  --quick      a first impression, in little more than a minute
  --boots N    starts of each server (6)
  --slices N   slices of load per start and route (4)
  --slice N    milliseconds of a slice (400)
  --warm N     seconds of a server's CPU for each route beforehand (8)
  --pairs N    pairs of timed starts (15)
  --workers N  processes of each server that is loaded (1)
  --tasks N    tasks that each side enqueues and runs (100000)
  --rows N     rows of the long table that pages are read from (1000000)
  --altered N  rows of the table whose columns a migration changes (30000)
  --budget N   seconds for the load: on a slow machine there are fewer starts (600)
  --only NAME  only this: ${[...routes.keys()].join(', ')}, bare, tokens, telemetry, cached, startup,
               help, migrations, tasks, pages, upstream, remote or testing; may be given again
  --no-build   use dist/ as it is
  --json       print everything as JSON`

/** @throws SetupError with the usage */
export function readOptions(args: readonly string[]): Options {
  const { values } = parse(args)
  if (values.help) throw new SetupError(USAGE)
  const initial = values.quick
    ? {
        boots: 3,
        slices: 1,
        slice: 300,
        warm: 1,
        pairs: 5,
        workers: 1,
        tasks: 9000,
        rows: 100_000,
        altered: 10_000,
        budget: 50,
      }
    : {
        boots: 6,
        slices: 4,
        slice: 400,
        warm: 8,
        pairs: 15,
        workers: 1,
        tasks: 100_000,
        rows: 1_000_000,
        altered: 30_000,
        budget: 600,
      }
  const count = (name: keyof typeof initial) => {
    const value = Number(values[name] ?? initial[name])
    if (Number.isInteger(value) && value > 0) return value
    throw new SetupError(`--${name} is ${values[name]}; expected a positive integer`)
  }
  const known = [
    ...routes.keys(),
    'bare',
    'tokens',
    'telemetry',
    'cached',
    'startup',
    'help',
    'migrations',
    'tasks',
    'remote',
    'pages',
    'upstream',
    'testing',
  ]
  const only = values.only ?? known
  const unknown = only.find((name) => !known.includes(name))
  if (unknown) throw new SetupError(`--only ${unknown} is not known\n${USAGE}`)
  return {
    boots: count('boots'),
    slices: count('slices'),
    slice: count('slice'),
    warm: count('warm'),
    pairs: count('pairs'),
    workers: count('workers'),
    tasks: count('tasks'),
    rows: count('rows'),
    altered: count('altered'),
    budget: count('budget'),
    only: new Set(only),
    build: !values['no-build'],
    json: values.json,
  }
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean', default: false } as const
  try {
    return parseArgs({
      args: [...args],
      options: {
        boots: text,
        slices: text,
        slice: text,
        warm: text,
        pairs: text,
        workers: text,
        tasks: text,
        rows: text,
        altered: text,
        budget: text,
        only: { type: 'string', multiple: true },
        'no-build': flag,
        quick: flag,
        json: flag,
        help: flag,
      },
    })
  } catch (error) {
    throw new SetupError(`${(error as Error).message}\n${USAGE}`)
  }
}
