import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { logLines, type ManageOptions, manage } from '../helpers/manage.ts'
import { BARE, writeService } from '../helpers/service.ts'
import { startOnTerminal } from '../helpers/terminal.ts'

const ENTER = '\r'
const TAB = '\t'
const ESC = '\x1b'
const UP = `${ESC}[A`
const CTRL_D = '\x04'

// Not in grey, which is only what would be completed.
const COMPLETED = new RegExp(`IMEOUT(?!${ESC}\\[39m)[^]{5}`)

// Not in grey, which is only what it would be; and until the prompt is back the terminal takes Ctrl-D for itself.
const evaluated = (value: number) => new RegExp(`${ESC}\\[33m${value}${ESC}\\[39m[^]*shop> `)

function runner(t: Test) {
  const service = writeService(t)
  return (args: string[], options: ManageOptions = {}) =>
    manage(t, ['shell', ...args], { service, env: BARE, ...options })
}

t.test('--execute prints the value of an expression', async (t) => {
  const run = runner(t)
  const values = {
    '1 + 1': '2\n',
    'await resources.things.list()': "[ { id: 1, name: 'one' } ]\n",
    '"100%s"': "'100%s'\n",
    'app.config.NODE_ENV': "'development'\n",
    undefined: '',
    null: 'null\n',
  }
  for (const [code, stdout] of Object.entries(values)) {
    t.strictSame(await run(['--execute', code]), { code: 0, signal: null, stdout, stderr: '' })
  }
})

t.test('--execute runs statements; what they return is printed', async (t) => {
  const run = runner(t)
  const code = `
    const { sql } = await import('kysely')
    const { rows } = await sql\`select 6 * 7 as answer\`.execute(db)
    console.log('rows', rows.length)
    return rows[0]`
  t.match(await run(['-e', code]), { code: 0, stdout: 'rows 1\n{ answer: 42 }\n', stderr: '' })
  t.match(await run(['-e', 'const a = 1; a']), { code: 0, stdout: '', stderr: '' })
})

t.test('what is thrown: on stderr, exit code 1', async (t) => {
  const run = runner(t)
  t.match(await run(['-e', 'throw new TypeError("no")']), {
    code: 1,
    stdout: '',
    stderr: /^TypeError: no\n/,
  })
  t.match(await run(['-e', 'throw "a text"']), { code: 1, stdout: '', stderr: /^a text\n$/ })
  t.match(await run(['-e', '1 +']), { code: 1, stdout: '', stderr: /^SyntaxError: / })
  const { code, stdout, stderr } = await run(['-e', 'resources.things.retrieve({ id: 2 })'])
  t.same({ code, stdout }, { code: 1, stdout: '' })
  const [log = '', ...rest] = stderr.split('\n')
  t.match(logLines(log), [{ level: 'warn', msg: 'looked for 2' }])
  t.strictSame(rest, ['error NOT_FOUND: There is no thing 2', ''])
})

t.test('where stdin is no terminal it is what is run', async (t) => {
  const run = runner(t)
  const input = 'const all = await resources.things.list()\nreturn all.length\n'
  t.match(await run([], { input }), { code: 0, stdout: '1\n', stderr: '' })
  t.match(await run([], { input: '' }), { code: 0, stdout: '', stderr: '' })
  t.match(await run([], { input: 'throw new Error("no")' }), { code: 1, stderr: /^Error: no\n/ })
})

t.test('a session on a terminal', async (t) => {
  const service = writeService(t)
  const env = { ...BARE, XDG_STATE_HOME: join(service, 'state') }
  const shell = startOnTerminal(t, ['shell'], { service, env })
  const prompt = shell.until('stdout', /shop> /)
  await prompt
  shell.type(`const [first] = await resources.things.list()${ENTER}`)
  await shell.until('stdout', /undefined/)
  shell.type(`first.name + '!'${ENTER}`)
  await shell.until('stdout', /one!/)
  shell.type(`await resources.things.retrieve({ id: 2 })${ENTER}`)
  await shell.until('stdout', /Uncaught PlinthError: There is no thing 2/)
  shell.type('app.config.SHUTDOWN_T')
  await shell.until('stdout', /SHUTDOWN_T/)
  shell.type(TAB)
  await shell.until('stdout', COMPLETED)
  shell.type(ENTER)
  await shell.until('stdout', evaluated(20_000))
  shell.type(CTRL_D)
  t.match(await shell.ended, { code: 0, stderr: '' })

  const history = join(env.XDG_STATE_HOME, 'plinth/shop.history')
  t.strictSame(readFileSync(history, 'utf8').trimEnd().split('\n'), [
    'app.config.SHUTDOWN_TIMEOUT',
    'await resources.things.retrieve({ id: 2 })',
    "first.name + '!'",
    'const [first] = await resources.things.list()',
  ])
  t.equal(statSync(history).mode & 0o777, 0o600)
  t.equal(statSync(join(env.XDG_STATE_HOME, 'plinth')).mode & 0o777, 0o700)

  const again = startOnTerminal(t, ['shell'], { service, env })
  await again.until('stdout', /shop> /)
  again.type(UP)
  await again.until('stdout', /app\.config\.SHUTDOWN_TIMEOUT/)
  again.type(ENTER)
  await again.until('stdout', evaluated(20_000))
  again.type(CTRL_D)
  t.match(await again.ended, { code: 0, stderr: '' })
})

t.test('where no history can be written there is a session all the same', async (t) => {
  const service = writeService(t)
  writeFileSync(join(service, 'file'), '')
  const env = { ...BARE, XDG_STATE_HOME: join(service, 'file') }
  const shell = startOnTerminal(t, ['shell'], { service, env })
  await shell.until('stdout', /REPL session history will not be persisted/)
  shell.type(`6 * 7${ENTER}`)
  await shell.until('stdout', evaluated(42))
  // Not where a history is looked at: Node.js writes this line only where it comes within 15 ms of the one before.
  shell.type(`.exit${ENTER}`)
  t.match(await shell.ended, { code: 0, stderr: '' })
})

t.test('an empty XDG_STATE_HOME is none', async (t) => {
  const service = writeService(t)
  const home = join(service, 'home')
  mkdirSync(home)
  const shell = startOnTerminal(t, ['shell'], {
    service,
    env: { ...BARE, XDG_STATE_HOME: '', HOME: home },
  })
  await shell.until('stdout', /shop> /)
  shell.type(`6 * 7${ENTER}`)
  await shell.until('stdout', evaluated(42))
  shell.type(CTRL_D)
  t.match(await shell.ended, { code: 0 })
  t.match(readFileSync(join(home, '.local/state/plinth/shop.history'), 'utf8'), '6 * 7')
})
