import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { commands } from '../../commands/_table.ts'
import { examplesOf, narrow, toPattern } from '../helpers/console.ts'
import { PATIENT_ENV } from '../helpers/drivers.ts'
import {
  type Ended,
  MANAGE,
  type ManageOptions,
  manage,
  startManage,
  startServe,
} from '../helpers/manage.ts'

const text = readFileSync(new URL('../../docs/commands.md', import.meta.url), 'utf8')
const ATLAS = fileURLToPath(new URL('../../examples/atlas', import.meta.url))

const examples = examplesOf(text)

/** Only what needs a shell is started by one. */
function execute(t: Test, line: string, options: ManageOptions): Promise<Ended> {
  const [, variables = '', rest] = /^((?:[A-Z_]+=\S+ )*)manage ([^|<>]*)$/.exec(line) ?? []
  if (rest === undefined) return manage(t, ['-c', line], { ...options, program: ['/bin/sh'] })
  const env = variables.trim().split(' ').filter(Boolean)
  const words = [...rest.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)]
  const args = words.map(([, single, double, bare]) => single ?? double ?? bare ?? '')
  const more = Object.fromEntries(env.map((pair) => pair.split('=') as [string, string]))
  return manage(t, args, { ...options, env: { ...options.env, ...more } })
}

t.test('the table has every command, and each has a section with examples', async (t) => {
  const rows = [...text.matchAll(/^\| \[`(.+?)`\]\(#(.+?)\) \| (.+?) \| (.*?) ?\|$/gm)]
  const expected = await Promise.all(
    Object.entries(commands).map(async ([id, { summary, load }]) => {
      const { enableJsonFlag } = (await load()).default
      const [word] = id.split(':')
      return [id.replace(':', ' '), word, summary, enableJsonFlag ? 'yes' : '']
    }),
  )
  t.strictSame(
    rows.map((row) => row.slice(1)),
    expected,
  )
  for (const [words] of expected) {
    t.ok(
      examples.some(({ line }) => line.includes(`manage ${words}`)),
      `an example of ${words}`,
    )
  }
})

t.test('the flags of serve', async (t) => {
  const { flags } = (await commands.serve?.load())?.default ?? {}
  const section = /^## serve\n(.*?)^## /ms.exec(text)?.[1] ?? ''
  const told = [...section.matchAll(/^\| .*?`--([\w-]+)`/gm)].map(([, name]) => name)
  t.strictSame(told, Object.keys(flags ?? {}))
})

t.test('every example does what is said', async (t) => {
  const folder = t.testdir()
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'manage'), `#!/bin/sh\nexec '${process.execPath}' '${MANAGE}' "$@"\n`, {
    mode: 0o755,
  })
  // Not every machine has it.
  writeFileSync(
    join(bin, 'sqlite3'),
    `#!${process.execPath}
import { DatabaseSync } from 'node:sqlite'
const [file, query] = process.argv.slice(2)
for (const row of new DatabaseSync(file).prepare(query).all()) console.log(Object.values(row).join('|'))
`,
    { mode: 0o755 },
  )
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}')
  const options = {
    service: ATLAS,
    cwd: folder,
    env: {
      PATH: bin + delimiter + process.env.PATH,
      DATABASE_URL: `sqlite:${join(folder, 'atlas.db')}`,
      // A database of its own: the examples count what is there.
      REDIS_URL: `${process.env.TEST_REDIS_URL}/9`,
      ...PATIENT_ENV,
      PORT: '0',
    },
  }
  for (const { line, code, output } of examples) {
    if (line.startsWith('manage serve')) {
      const args = line
        .replace(/--port \d+/, '--port 0')
        .split(' ')
        .slice(2)
      const { url, process: child, ended } = await startServe(t, { ...options, args })
      t.equal((await fetch(`${url}/ping`)).status, 200, line)
      child.kill('SIGTERM')
      t.match(await ended, { code: 0 })
      continue
    }
    if (line.startsWith('manage worker')) {
      const worker = startManage(t, line.split(' ').slice(1), options)
      await worker.until('stdout', /working on tasks/)
      worker.process.kill('SIGTERM')
      t.match(await worker.ended, { code: 0 }, line)
      continue
    }
    if (line.startsWith('manage rollout-test')) {
      // It takes longer than others, and is not shed: what else works on this machine makes it late.
      const env = { ...options.env, LOAD_SHEDDING: 'false' }
      const args = line.split(' ').slice(1)
      const { code, stdout, stderr } = await startManage(t, args, { ...options, env }).ended
      t.equal(code, 0, stdout + stderr)
      continue
    }
    const ended = await execute(t, line, options)
    t.equal(ended.code, code, `${line}\n${ended.stderr}`)
    if (output !== undefined) t.match(narrow(ended.stdout), toPattern(output), line)
  }
})
