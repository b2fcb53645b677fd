import t from 'tap'
import { commands } from '../../commands/_table.ts'
import { manage } from '../helpers/manage.ts'
import { BARE, writeService } from '../helpers/service.ts'

// What oclif waits for a line of stdin: with its 10 ms, whether one is there in time is a matter of luck.
const PATIENT = { OCLIF_STDIN_TIMEOUT_MS: '20000' }

const COMMANDS = {
  'commands/echo.ts': `
    import { Args, Flags } from '@oclif/core'
    import { BaseCommand } from 'plinth/command'
    export default class Echo extends BaseCommand {
      static override summary = 'Print what is given'
      static override args = { first: Args.string(), second: Args.string({ ignoreStdin: false }) }
      static override flags = { text: Flags.string({ allowStdin: true }) }
      async run(): Promise<void> {
        const { args, flags } = await this.parse(Echo)
        this.log(JSON.stringify({ ...args, ...flags }))
      }
    }`,
  'commands/give.ts': `
    import { Flags } from '@oclif/core'
    import { BaseCommand } from 'plinth/command'
    export default class Give extends BaseCommand {
      static override summary = 'Return what the code says'
      static override enableJsonFlag = true
      static override flags = { code: Flags.string({ required: true }) }
      async run(): Promise<unknown> {
        const { flags } = await this.parse(Give)
        return await new Function('command', 'return ' + flags.code)(this)
      }
    }`,
}

t.test('no command of the kit takes an argument from stdin', async (t) => {
  const service = writeService(t)
  const input = 'things.list\n'
  for (const [name, { load }] of Object.entries(commands)) {
    const { args } = (await load()).default
    const isRequired = Object.values(args).some(({ required }) => required)
    if (!isRequired && name !== 'tasks:retry') continue
    const { code, stdout, stderr } = await manage(t, name.split(':'), {
      service,
      input,
      env: PATIENT,
    })
    t.same({ code, stdout }, { code: 2, stdout: '' }, name)
    t.match(stderr, /Missing \d required args?|name tasks, or say --all/, name)
  }
})

t.test("a service's command takes none either; a flag that is said to waits for it", async (t) => {
  const service = writeService(t, COMMANDS)
  const run = (args: string[], input: string, env: Record<string, string> = {}) =>
    manage(t, ['echo', ...args], { service, input, env })
  t.match(await run([], 'line\n', PATIENT), { code: 0, stdout: '{}\n' })
  t.match(await run(['a'], 'line\n', PATIENT), { code: 0, stdout: '{"first":"a"}\n' })
  t.match(await run(['--text', '-'], 'line\n'), { code: 0, stdout: '{"text":"line"}\n' })
})

t.test('with --json wrong usage is JSON on stdout, and nothing else', async (t) => {
  const service = writeService(t, COMMANDS)
  const wrong: [args: string[], message: RegExp][] = [
    [['routes', '--json', '--nope'], /^Nonexistent flag: --nope/],
    [['tasks', 'list', '--limit', 'x', '--json'], /^Parsing --limit \n\tExpected an integer/],
    [['tasks', 'show', '--json'], /^Missing 1 required arg:/],
    [['tasks', 'retry', '--json'], /^name tasks, or say --all$/],
    [['seed', 'things', '--fresh', '--json'], /^--fresh runs all seeds/],
    [['config', '--json', '--example'], /--json.*--example|--example.*--json/],
    [['migrate', 'nosuch', '--json'], /^command migrate:nosuch not found$/],
    [['nosuch', '--json'], /^nosuch is not a command of manage\nSee manage --help$/],
    [['serve', '--json'], /^Nonexistent flag: --json/],
    [['call', 'things.add', '{', '--json'], /^the request is not JSON: /],
    [['give', '--json'], /^The following error occurred:\n {2}Missing required flag code/],
    [['give', '--json', '--code', 'command.error("no")'], /^no$/],
  ]
  for (const [args, message] of wrong) {
    const { code, stdout, stderr } = await manage(t, args, { service, env: BARE })
    t.same({ code, stderr }, { code: 2, stderr: '' }, args.join(' '))
    t.match(parse(stdout), { error: { code: 'USAGE_INVALID', message } }, args.join(' '))
  }
})

t.test('with --json what fails is JSON, too, also before there is a command', async (t) => {
  const service = writeService(t, { ...COMMANDS, 'commands/broken.ts': 'const = 1\n' })
  const failing: [args: string[], code: number, error: object][] = [
    [['broken', '--json'], 1, { code: 'SERVICE_BROKEN', message: /broken\.ts cannot be loaded/ }],
    [['give', '--json', '--code', 'command.error("no", { exit: 7 })'], 7, { message: 'no' }],
    [['give', '--json', '--code', 'Promise.reject(new Error("no"))'], 1, { message: 'no' }],
  ]
  for (const [args, code, error] of failing) {
    const ended = await manage(t, args, { service })
    t.same({ code: ended.code, stderr: ended.stderr }, { code, stderr: '' }, args.join(' '))
    t.match(parse(ended.stdout), { error }, args.join(' '))
  }
  t.match(await manage(t, ['give', '--json', '--code', 'command.exit(3)'], { service }), {
    code: 3,
    stdout: '',
    stderr: '',
  })
})

t.test('with --json every result is JSON', async (t) => {
  const service = writeService(t, COMMANDS)
  const results: [code: string, json: string][] = [
    ['12345678901234567890n', '12345678901234567890'],
    ['[-1n, { a: 2n ** 70n }]', '[\n  -1,\n  {\n    "a": 1180591620717411303424\n  }\n]'],
    ['new Date(0)', '"1970-01-01T00:00:00.000Z"'],
    ['{ a: undefined, b: [undefined] }', '{\n  "b": [\n    null\n  ]\n}'],
    ['undefined', 'null'],
    ['null', 'null'],
    ['false', 'false'],
    ['0', '0'],
    ['""', '""'],
    ['"100%d"', '"100%d"'],
  ]
  for (const [result, json] of results) {
    const ended = await manage(t, ['give', '--json', '--code', `(${result})`], { service })
    t.strictSame(ended, { code: 0, signal: null, stdout: `${json}\n`, stderr: '' }, result)
  }
})

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return `no JSON: ${text}`
  }
}
