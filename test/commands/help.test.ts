import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { commands } from '../../commands/_table.ts'
import { kit } from '../../src/process/kit.ts'
import { MANAGE, type ManageOptions, manage, manageAlone } from '../helpers/manage.ts'
import { BARE, writeService } from '../helpers/service.ts'

const LISTED = Object.entries(commands).map(
  ([id, { summary }]) => `  ${id.replace(':', ' ').padEnd(16)}  ${summary}\n`,
)

const command = (summary: string, body = "this.log('done')") => `
  import { BaseCommand } from 'plinth/command'
  export default class extends BaseCommand {
    static override summary = '${summary}'
    async run(): Promise<void> { await this.parse(); ${body} }
  }`

/** A folder that no service is above of. */
function elsewhere(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'plinth-none-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

/** The kit's commands in the order of the list, then whatever comes after. */
function assertList(t: Test, stdout: string, rest = ''): void {
  const head = 'Run and look after a Plinth service.\n\nUSAGE\n  $ manage COMMAND\n\nCOMMANDS\n'
  const end = '\nEach has more to say: manage COMMAND --help\n'
  t.equal(stdout, `${head}${LISTED.join('')}${rest}${end}`)
}

t.test('manage, manage --help, -h and help list every command', async (t) => {
  const service = writeService(t)
  for (const args of [[], ['--help'], ['-h'], ['help'], ['help', '--help']]) {
    const { code, stdout, stderr } = await manage(t, args, { service })
    t.same({ code, stderr }, { code: 0, stderr: '' }, args.join(' '))
    assertList(t, stdout)
  }
})

t.test('manage --version tells the versions of the kit and of Node.js', async (t) => {
  const { code, stdout, stderr } = await manage(t, ['--version'])
  t.same({ code, stderr }, { code: 0, stderr: '' })
  t.equal(stdout, `plinth ${kit().version} (Node.js ${process.version})\n`)
})

for (const [id, { summary }] of Object.entries(commands)) {
  const words = id.split(':')
  t.test(`manage ${words.join(' ')} --help: summary, usage, examples`, async (t) => {
    const { code, stdout, stderr } = await manage(t, [...words, '--help'])
    t.same({ code, stderr }, { code: 0, stderr: '' })
    t.match(stdout.split('\n')[0], summary, 'as the list has it')
    t.match(stdout, `\nUSAGE\n  $ manage ${words.join(' ')}`)
    t.match(stdout, `\nEXAMPLES\n  `)
    t.match(stdout.split('\nEXAMPLES\n')[1], `manage ${words.join(' ')}`)
  })
}

t.test('help is the same however it is asked for', async (t) => {
  const { stdout } = await manage(t, ['serve', '--help'])
  for (const args of [
    ['help', 'serve'],
    ['serve', '-h'],
  ]) {
    t.strictSame(await manage(t, args), { code: 0, signal: null, stdout, stderr: '' })
  }
})

t.test('the help of migrate lists its subcommands', async (t) => {
  const { stdout } = await manage(t, ['migrate', '--help'])
  t.match(stdout, /^ {2}migrate rollback {2}Take back the last migrations$/m)
  t.match(stdout, /^ {2}migrate status {4}List the migrations and which are applied$/m)
  const help = await manage(t, ['help', 'migrate', 'status'])
  t.match(help, { code: 0, stdout: /^\s+\$ manage migrate status/m })
})

t.test("a service's own commands", async (t) => {
  const service = writeService(t, {
    'commands/reindex.ts': command('Build the index', 'this.log("built"); return'),
    'commands/city/merge.ts': command('Merge cities', 'throw new Error("no cities")'),
    'commands/city/_shared.ts': 'throw new Error("not a command")',
  })
  const run = (...args: string[]) => manage(t, args, { service })

  await t.test('are listed, topics by their words', async (t) => {
    const { code, stdout, stderr } = await run()
    t.same({ code, stderr }, { code: 0, stderr: '' })
    assertList(
      t,
      stdout,
      '\nCOMMANDS OF THE SERVICE\n  city merge  Merge cities\n  reindex     Build the index\n',
    )
  })
  await t.test('run', async (t) => {
    t.strictSame(await run('reindex'), { code: 0, signal: null, stdout: 'built\n', stderr: '' })
    t.match(await run('city', 'merge'), { code: 1, stdout: '', stderr: /^Error: no cities\n/ })
  })
  await t.test('have help', async (t) => {
    t.match(await run('reindex', '--help'), { code: 0, stdout: /^Build the index\n/, stderr: '' })
    const topic = await run('city', '--help')
    t.match(topic, { code: 0, stdout: /^ {2}city merge {2}Merge cities$/m })
  })
  await t.test('refuse flags that they do not have', async (t) => {
    t.match(await run('reindex', '--fast'), { code: 2, stdout: '', stderr: /--fast/ })
  })
  await t.test('are among the suggestions', async (t) => {
    const { code, stdout, stderr } = await run('reindx')
    t.same({ code, stdout }, { code: 2, stdout: '' })
    t.equal(stderr, 'reindx is not a command of manage; did you mean reindex?\nSee manage --help\n')
  })
})

t.test('a command that cannot be loaded is named with its place; the others work', async (t) => {
  const service = writeService(t, {
    'commands/broken.ts': 'const a = 1\nconst = 2\n',
    'commands/nothing.ts': 'export const a = 1\n',
    'commands/works.ts': command('Works'),
  })
  const file = (name: string) => join(service, 'commands', name)
  const help = await manageAlone(t, ['--help'], { service })
  t.equal(help.code, 1)
  assertList(t, help.stdout, '\nCOMMANDS OF THE SERVICE\n  works  Works\n')
  const [broken = '', nothing = '', ...rest] = help.stderr.trimEnd().split('\n')
  t.ok(broken.startsWith(`${file('broken.ts')} cannot be loaded: SyntaxError: `), broken)
  t.ok(broken.endsWith(`broken.ts:2)`), broken)
  t.equal(
    nothing,
    `${file('nothing.ts')} cannot be loaded: its default export is undefined; expected a class that extends BaseCommand`,
  )
  t.strictSame(rest, [])

  t.match(await manageAlone(t, ['works'], { service }), { code: 0, stdout: 'done\n', stderr: '' })
  const run = await manageAlone(t, ['broken'], { service })
  t.same({ code: run.code, stdout: run.stdout }, { code: 1, stdout: '' })
  t.equal(run.stderr, `error SERVICE_BROKEN: ${broken}\n`)
})

t.test("a service's command beside those of a word of the kit", async (t) => {
  const service = writeService(t, {
    'commands/db/anonymize.ts': command('Anonymize', 'this.log("anonymized")'),
    'commands/tasks/purge/all.ts': command('Purge', 'this.log("purged")'),
    'commands/cache.ts': command('Everything of the cache', 'this.log("all")'),
    'commands/db/broken.ts': 'const = 1',
  })
  const run = (...args: string[]) => manage(t, args, { service, env: BARE })
  t.match(await run(), { code: 1, stdout: /^ {2}db anonymize +Anonymize$/m, stderr: /broken\.ts/ })
  t.match(await run('db', 'anonymize'), { code: 0, stdout: 'anonymized\n', stderr: '' })
  t.match(await run('tasks', 'purge', 'all'), { code: 0, stdout: 'purged\n', stderr: '' })
  t.match(await run('cache'), { code: 0, stdout: 'all\n', stderr: '' })
  t.match(await run('db', 'anonymize', '--help'), { code: 0, stdout: /^Anonymize\n/ })
  t.match(await run('tasks', '--help'), { code: 0, stdout: /^ {2}tasks purge +Purge$/m })
  t.match(await run('help', 'tasks'), { code: 0, stdout: /^ {2}tasks list +List tasks/m })
  // Those of the kit need none of them.
  t.match(await run('db', 'dump', '--help'), { code: 0, stdout: /^Write the database/, stderr: '' })
  t.match(await run('db', 'broken'), { code: 1, stderr: /^error SERVICE_BROKEN: .*broken\.ts/ })
})

t.test("a command may not have the name of one of the kit's", async (t) => {
  for (const file of ['serve.ts', 'db/drop.ts', 'help.ts']) {
    const service = writeService(t, { [`commands/${file}`]: command('Mine') })
    for (const args of [[], ['mine']]) {
      const { code, stdout, stderr } = await manage(t, args, { service })
      const word = file.split('.')[0]?.replace('/', ' ')
      t.same({ code, stdout }, { code: 1, stdout: '' })
      t.equal(
        stderr,
        `error SERVICE_BROKEN: ${join(service, 'commands', file)} cannot be loaded: ${word} is a command of the kit\n`,
      )
    }
  }
})

t.test("a command may stand behind the words of one of the kit's", async (t) => {
  const service = writeService(t, {
    'commands/migrate/undo.ts': command('Undo'),
    'commands/tasks/list/all.ts': command('All'),
    'commands/migrate/broken.ts': 'broken',
  })
  const run = (...args: string[]) => manage(t, args, { service, env: BARE })
  t.match(await run('migrate', 'undo'), { code: 0, stdout: 'done\n', stderr: '' })
  t.match(await run('tasks', 'list', 'all'), { code: 0, stdout: 'done\n', stderr: '' })
  t.match(await run('migrate'), { code: 0, stdout: 'nothing to apply\n', stderr: '' })
  t.match(await run('migrate', 'status'), { code: 0, stderr: '' })
})

t.test('the commands of plugins are listed; once known, without the service', async (t) => {
  const folder = t.testdir()
  const marks = join(folder, 'loaded')
  const mark = `import { appendFileSync } from 'node:fs'; appendFileSync(process.env.MARKS, 'x')`
  const loads = () => (existsSync(marks) ? readFileSync(marks, 'utf8').length : 0)
  const service = writeService(t, {
    'src/sms.ts': `
      import { definePlugin } from 'plinth'
      export const sms = definePlugin({ name: 'sms', commands: new URL('./sms/', import.meta.url) })`,
    'src/sms/sms/count.ts': command('Count messages'),
    'src/service.ts': `
      import { defineService } from 'plinth'
      import { sms } from './sms.ts'
      ${mark}
      export default defineService({ name: 'shop', modules: {}, plugins: [sms] })`,
  })
  const list = async (rows: string, times: number) => {
    const { code, stdout, stderr } = await manageAlone(t, [], { service, env: { MARKS: marks } })
    t.same({ code, stderr }, { code: 0, stderr: '' })
    assertList(t, stdout, rows)
    t.equal(loads(), times)
  }
  const head = '\nCOMMANDS OF ITS PLUGINS\n'
  await list(`${head}  sms count  Count messages\n`, 1)
  await list(`${head}  sms count  Count messages\n`, 1)
  writeFileSync(join(service, 'src/sms/sms/count.ts'), command('Count them all'))
  await list(`${head}  sms count  Count them all\n`, 2)
  writeFileSync(join(service, 'src/sms/sms/send.ts'), command('Send'))
  await list(`${head}  sms count  Count them all\n  sms send   Send\n`, 3)
  mkdirSync(join(service, 'commands'))
  writeFileSync(join(service, 'commands/own.ts'), command('Its own'))
  const own = '\nCOMMANDS OF THE SERVICE\n  own  Its own\n'
  await list(`${own}${head}  sms count  Count them all\n  sms send   Send\n`, 4)
  await list(`${own}${head}  sms count  Count them all\n  sms send   Send\n`, 4)
  writeFileSync(join(service, 'src/sms/sms/send.ts'), 'const = 1')
  const broken = await manageAlone(t, [], { service, env: { MARKS: marks } })
  t.match(broken, { code: 1, stdout: /sms count/, stderr: /send\.ts cannot be loaded/ })
  writeFileSync(
    join(service, 'src/service.ts'),
    `import { defineService } from 'plinth'
    ${mark}
    export default defineService({ name: 'shop', modules: {} })`,
  )
  rmSync(join(service, 'commands'), { recursive: true })
  await list('', 5)
})

t.test('outside of any service', async (t) => {
  // Where none is named, the kit's own script finds the kit's example.
  const cwd = elsewhere(t)
  const outside: ManageOptions = { cwd, env: { PLINTH_SERVICE: cwd } }
  const help = await manage(t, [], outside)
  t.same({ code: help.code, stderr: help.stderr }, { code: 0, stderr: '' })
  assertList(t, help.stdout)
  t.match(await manage(t, ['serve', '--help'], outside), { code: 0, stderr: '' })
  for (const [name, { load }] of Object.entries(commands)) {
    // One compares two files, wherever they are, and one makes a service.
    if (name === 'contract:diff' || name === 'new') continue
    const { args: all, flags = {} } = (await load()).default
    const needed = Object.values(all).filter((one) => one.required)
    const wanted = Object.keys(flags).filter((flag) => flags[flag]?.required)
    const own = name.endsWith(':retry') ? ['--all'] : wanted.map((flag) => `--${flag}=things`)
    const more = [...needed.map(({ options = ['things.list'] }) => options[0] ?? ''), ...own]
    const args = [...name.split(':'), ...more]
    const { code, stdout, stderr } = await manage(t, args, outside)
    t.same({ code, stdout }, { code: 1, stdout: '' }, name)
    t.equal(
      stderr,
      `error SERVICE_NOT_FOUND: No service in ${cwd} or above it: expected a package.json with plinth among its dependencies and a src/service.ts\n`,
    )
  }
})

t.test('wrong usage exits with 2 and says what is wrong on stderr', async (t) => {
  const service = writeService(t)
  const wrong: [string[], RegExp][] = [
    [
      ['serv'],
      /^serv is not a command of manage; did you mean serve or seed\?\nSee manage --help\n$/,
    ],
    [['xxxxxxxxx'], /^xxxxxxxxx is not a command of manage\nSee manage --help\n$/],
    [['help', 'nosuch'], /^nosuch is not a command of manage\n/],
    [['--nosuch'], /^--nosuch is not a command of manage\n/],
    [['routes', '--nosuch'], /Nonexistent flag: --nosuch/],
    [['migrate', 'nosuch'], /command migrate:nosuch not found/],
    [['serve', '--port', 'http'], /Expected an integer but received: http/],
    [['serve', '--port', '65536'], /less than or equal to 65535 but received:\s+(›\s+)?65536/],
    [['serve', '--port'], /Flag --port expects a value/],
    [['call'], /Missing 1 required arg/],
  ]
  for (const [args, pattern] of wrong) {
    const { code, stdout, stderr } = await manage(t, args, { service })
    t.same({ code, stdout }, { code: 2, stdout: '' }, args.join(' '))
    t.match(stderr, pattern)
  }
})

t.test('a reader that goes away early does no harm', async (t) => {
  const service = writeService(t)
  for (const args of ['--help', 'serve --help', 'routes', 'resources --json']) {
    const script = `set -o pipefail; manage() { "$NODE" "$MANAGE" "$@"; }; manage ${args} | true`
    const ended = await manage(t, ['-c', script], {
      service,
      program: ['bash'],
      env: { NODE: process.execPath, MANAGE },
    })
    t.strictSame(ended, { code: 0, signal: null, stdout: '', stderr: '' }, args)
  }
})
