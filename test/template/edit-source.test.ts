import t from 'tap'
import { addImport, addItem, renameMember } from '../../src/template/edit-source.ts'

const service = (options: string, before = '') =>
  `import { defineService } from 'plinth'\n${before}\nexport default defineService({\n  name: 'shop',\n${options}})\n`

const added = (source: string, key = 'modules', kind: 'array' | 'object' = 'object') =>
  addItem(source, 'defineService', key, 'orders', kind)

t.test('an item is listed where the others are, as they are', (t) => {
  t.equal(added(service('  modules: { notes },\n')), service('  modules: { notes, orders },\n'))
  t.equal(added(service('  modules: {},\n')), service('  modules: { orders },\n'))
  t.equal(
    added(service('  modules: {\n    notes,\n    ...others,\n  },\n')),
    service('  modules: {\n    notes,\n    ...others,\n    orders,\n  },\n'),
  )
  t.equal(
    added(service('  modules: {\n    notes\n  },\n')),
    service('  modules: {\n    notes,\n    orders\n  },\n'),
  )
  t.equal(added(service('')), service('').replace("'shop',", "'shop',\n  modules: { orders },"))
  const typed = 'const modules = { notes } satisfies Record<string, unknown>\n'
  t.equal(
    added(service('  modules,\n', typed)),
    service('  modules,\n', typed.replace('{ notes }', '{ notes, orders }')),
    'in a constant',
  )
  t.equal(
    added(service('  models: [Note],\n'), 'models', 'array'),
    service('  models: [Note, orders],\n'),
  )
  t.equal(
    added(service('  modules: all(Note),\n')),
    service('  modules: { orders, ...all(Note) },\n'),
    'beside what a function makes',
  )
  t.end()
})

t.test('what is listed already stays, in every way of writing it', (t) => {
  for (const modules of ['{ orders }', '{ notes, orders: other }', '{ "orders": other, orders }']) {
    const source = service(`  modules: ${modules},\n`)
    t.equal(added(source), source)
  }
  t.end()
})

t.test('what is written in another way is left alone', (t) => {
  t.equal(added(service('  modules: [notes],\n')), undefined)
  t.equal(added(service('  modules: condition ? { a } : { b },\n')), undefined)
  t.equal(
    added('const service = { modules: {} }\nexport default defineService(service)'),
    undefined,
  )
  t.equal(added('export default {'), undefined, 'no TypeScript')
  t.end()
})

t.test('an import comes in its place; lines end as the others do', (t) => {
  const source =
    "import { z } from 'z'\r\nimport { b } from './b.ts'\r\n\r\nexport type T = { a: 1 }\r\n"
  t.equal(
    addImport(source, 'a', '../a.ts'),
    source.replace("'z'\r\n", "'z'\r\nimport { a } from '../a.ts'\r\n"),
  )
  t.equal(
    addImport(source, 'c', './c.ts'),
    source.replace("'./b.ts'\r\n", "'./b.ts'\r\nimport { c } from './c.ts'\r\n"),
  )
  t.equal(addImport(source, 'b', './b.ts'), source)
  t.equal(addImport('export {}\n', 'a', './a.ts'), "import { a } from './a.ts'\nexport {}\n")
  t.equal(
    added(service('  modules: {\n    a,\n  },\n').replaceAll('\n', '\r\n')),
    service('  modules: {\n    a,\n    orders,\n  },\n').replaceAll('\n', '\r\n'),
  )
  t.end()
})

t.test('what is asked of a variable gets another name, and nothing else does', (t) => {
  const source = [
    'const app: App = await createApp<Kit>(service)',
    "await app.lock('a', async () => app?.lock('b', work))",
    'app.lock.lock; other.app.lock; app.locks; app[lock]; // app.lock',
    `const text = \`app.lock \${app.lock}\``,
  ].join('\r\n')
  t.equal(
    renameMember(source, 'app', 'lock', 'cache.lock'),
    [
      'const app: App = await createApp<Kit>(service)',
      "await app.cache.lock('a', async () => app?.cache.lock('b', work))",
      'app.cache.lock.lock; other.app.lock; app.locks; app[lock]; // app.lock',
      `const text = \`app.lock \${app.cache.lock}\``,
    ].join('\r\n'),
  )
  t.equal(renameMember('app.lock(', 'app', 'lock', 'cache.lock'), 'app.lock(')
  t.end()
})
