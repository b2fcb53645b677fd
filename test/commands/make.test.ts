import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { KINDS } from '../../src/template/make.ts'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'

const make = (t: Test, folder: string, ...args: string[]) =>
  manage(t, ['make', ...args], { service: folder, cwd: folder })

const SERVICE = `import { defineService } from 'plinth'

export default defineService({ name: 'shop', modules: {} })
`

const everything = (folder: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(folder.length + 1), readFileSync(path, 'utf8')]),
  )

t.test('what is made is listed in the service', async (t) => {
  const folder = writeService(t, { 'src/service.ts': SERVICE })
  const made = await make(t, folder, 'module', 'orders', '--json')
  t.equal(made.code, 0, made.stderr)
  t.strictSame(JSON.parse(made.stdout), {
    created: ['src/orders/model.ts', 'src/orders/module.ts', 'test/orders.test.ts'],
    changed: ['src/service.ts'],
    todo: ['bin/manage makemigrations --name orders && bin/manage migrate'],
  })
  t.equal(
    everything(folder)['src/service.ts'],
    `import { defineService } from 'plinth'
import { Order } from './orders/model.ts'
import { orders } from './orders/module.ts'

export default defineService({ name: 'shop', modules: { orders }, models: [Order] })
`,
  )
  t.match(everything(folder)['src/orders/model.ts'], /export const Order = defineModel\('order', /)
})

t.test('a file that is there is never replaced, and nothing else is changed then', async (t) => {
  const folder = writeService(t, { 'src/service.ts': SERVICE, 'test/orders.test.ts': '// ours\n' })
  const before = everything(folder)
  t.match(await make(t, folder, 'module', 'orders'), {
    code: 1,
    stdout: '',
    stderr: /FILE_EXISTS.*orders\.test\.ts/,
  })
  t.strictSame(everything(folder), before)
})

t.test('--dry-run tells what would be, and writes nothing', async (t) => {
  const folder = writeService(t, { 'src/service.ts': SERVICE })
  const before = everything(folder)
  for (const kind of KINDS) {
    const name = ['resource', 'task', 'model'].includes(kind) ? 'orders/approve' : 'orders'
    const told = await make(t, folder, kind, name, '--dry-run')
    t.match(told, { code: 0, stdout: /^would write / }, kind)
    t.match(told.stdout, /^would write test\/[\w-]+\.test\.ts$/m, `${kind} has a test`)
  }
  t.strictSame(everything(folder), before)
})

t.test('where a table is written by hand it says what to add', async (t) => {
  const own = `import { defineService } from 'plinth'

const all = () => ({})
export default defineService({ ...{ name: 'shop' }, modules: (() => all())() })
`
  const folder = writeService(t, {
    'src/service.ts': own.replace('(() => all())()', 'true ? {} : {}'),
  })
  const made = await make(t, folder, 'module', 'orders', '--json')
  t.equal(made.code, 0)
  const { todo } = JSON.parse(made.stdout)
  t.match(
    todo[0],
    /^add orders to modules of defineService in src\/service\.ts: import \{ orders \} from /,
  )
  const missing = await make(t, folder, 'resource', 'lines/add', '--json')
  t.match(JSON.parse(missing.stdout).todo, [
    /^add add to resources of defineModule in src\/lines\/module\.ts/,
  ])
})

t.test('wrong usage', async (t) => {
  const folder = writeService(t, { 'src/service.ts': SERVICE })
  const before = everything(folder)
  for (const args of [
    ['module', 'Orders'],
    ['module', 'orders/lines'],
    ['resource', 'orders'],
    ['plugin', '../out'],
    ['command', 'a//b'],
    ['view', 'orders'],
    ['module'],
    ['module', 'orders', '--package'],
    ['plugin', 'fastify', '--package'],
    ['plugin', 'sms-gate', '--in', 'elsewhere'],
  ])
    t.match(await make(t, folder, ...args), { code: 2, stdout: '' }, args.join(' '))
  t.strictSame(everything(folder), before)
})

t.test('seeds are numbered on', async (t) => {
  const folder = writeService(t, { 'src/service.ts': SERVICE })
  t.match(await make(t, folder, 'seed', 'first-rows'), {
    stdout: /^wrote seeds\/01_first_rows\.ts$/m,
  })
  writeFileSync(join(folder, 'seeds/09_more.ts'), '')
  t.match(await make(t, folder, 'seed', 'customers'), {
    stdout: /^wrote seeds\/10_customers\.ts$/m,
  })
})

t.test(
  'a plugin for many services is a package, which no service lists before it is installed',
  async (t) => {
    const folder = writeService(t, { 'src/service.ts': SERVICE })
    const before = everything(folder)
    t.match(await make(t, folder, 'plugin', 'sms-gate', '--package', '--dry-run'), {
      code: 0,
      stdout: /^would write packages\/sms-gate\/index\.js$/m,
    })
    t.strictSame(everything(folder), before)
    const made = await make(t, folder, 'plugin', 'sms-gate', '--package', '--json')
    t.equal(made.code, 0, made.stderr)
    const { created, changed, todo } = JSON.parse(made.stdout)
    t.strictSame(
      Object.keys(everything(folder)).sort(),
      [...Object.keys(before), ...created].sort(),
    )
    t.strictSame(changed, [])
    t.strictSame(todo, [
      'npm install ./packages/sms-gate',
      "add smsGate() to plugins of defineService in src/service.ts: import { smsGate } from 'sms-gate'",
      'bin/manage migrate',
    ])
    const after = everything(folder)
    const author = { service: join(folder, 'packages/sms-gate/test/service') }
    const migrate = ['makemigrations', '--plugin', 'sms-gate', '--empty', '--name', 'more']
    t.match(
      await manage(t, migrate, author),
      { code: 0, stdout: /^wrote sms-gate\/0002_more\.js$/m },
      'its next migration is JavaScript, too',
    )
    rmSync(join(folder, 'packages/sms-gate/migrations/0002_more.js'))
    writeFileSync(
      join(folder, 'packages/sms-gate/migrations/schema.json'),
      after['packages/sms-gate/migrations/schema.json'] ?? '',
    )
    t.match(await make(t, folder, 'plugin', 'sms-gate', '--package'), {
      code: 1,
      stdout: '',
      stderr: /FILE_EXISTS/,
    })
    t.strictSame(everything(folder), after)

    const elsewhere = mkdtempSync(join(tmpdir(), 'plinth-make-'))
    t.teardown(() => rmSync(elsewhere, { recursive: true }))
    const told = await make(
      t,
      folder,
      'plugin',
      'sms-gate',
      '--package',
      '--in',
      elsewhere,
      '--json',
    )
    t.match(JSON.parse(told.stdout).todo[0], /^npm install --install-links \.\.\//)
    t.equal(everything(elsewhere)['index.js'], after['packages/sms-gate/index.js'])
  },
)
