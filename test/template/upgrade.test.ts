import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { DEFAULTS } from '../../src/template/answers.ts'
import { renameMember } from '../../src/template/edit-source.ts'
import { planUpgrade, type UpgradeRules } from '../../src/template/upgrade.ts'
import { isOlder } from '../../src/template/versions.ts'

type Files = Record<string, string>

/** What an upgrade does to a service whose files are `ours`, by path; null where it deletes one. */
function upgrade(t: Test, base: Files, ours: Files, theirs: Files, rules: UpgradeRules = {}) {
  const root = t.testdir()
  for (const [path, text] of Object.entries(ours)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  const answers = { name: 'shop', ...DEFAULTS }
  const remembered = { version: '0.1.0', answers, codemods: { first: '' }, files: base }
  const files = Object.entries(theirs).map(([path, text]) => ({ path, text, executable: false }))
  const before = Object.entries(ours).map(([path]) => readFileSync(join(root, path), 'utf8'))
  const changes = planUpgrade(root, remembered, files, { renames: {}, codemods: [], ...rules })
  t.strictSame(
    Object.entries(ours).map(([path]) => readFileSync(join(root, path), 'utf8')),
    before,
    'it writes nothing',
  )
  return changes.map(({ path, state, text, note }) => ({
    path,
    state,
    ...(text !== undefined && { text }),
    ...(note && { note }),
  }))
}

const lines = (...all: (string | number)[]) => all.map((line) => `${line}\n`).join('')
const ten = Array.from({ length: 10 }, (_, index) => index)

t.test('what only one side has changed is taken, from both', (t) => {
  const base = lines(...ten)
  const ours = lines('ours', ...ten.slice(1))
  const theirs = lines(...ten.slice(0, 9), 'theirs')
  const merged = lines('ours', ...ten.slice(1, 9), 'theirs')
  const file = (text: string) => ({ 'biome.json': text })
  t.strictSame(upgrade(t, file(base), file(ours), file(theirs)), [
    { path: 'biome.json', state: 'changed', text: merged },
  ])
  t.strictSame(upgrade(t, file(base), file(base), file(theirs)), [
    { path: 'biome.json', state: 'changed', text: theirs },
  ])
  t.strictSame(upgrade(t, file(base), file(ours), file(base)), [])
  t.strictSame(upgrade(t, file(base), file(theirs), file(theirs)), [], 'done by hand')
  t.strictSame(
    upgrade(t, file(base), file(ours.replaceAll('\n', '\r\n')), file(theirs)),
    [{ path: 'biome.json', state: 'changed', text: merged.replaceAll('\n', '\r\n') }],
    'lines end as ours do',
  )
  t.end()
})

t.test('the same lines changed by both are a conflict, with all three in the file', (t) => {
  const [change] = upgrade(
    t,
    { 'tsconfig.json': lines('a', 'b', 'c') },
    { 'tsconfig.json': lines('a', 'ours', 'c') },
    { 'tsconfig.json': lines('a', 'theirs', 'c') },
  )
  t.match(change, { state: 'conflict', note: /1 place/ })
  t.equal(
    change?.text,
    lines(
      'a',
      '<<<<<<< the service',
      'ours',
      '||||||| the template before',
      'b',
      '=======',
      'theirs',
      '>>>>>>> the template now',
      'c',
    ),
  )
  t.end()
})

t.test('files come, go and move; what the team has done stays', (t) => {
  t.strictSame(
    upgrade(
      t,
      { 'gone.json': 'a', 'kept.json': 'a', 'lost.json': 'a', 'old.json': lines(...ten) },
      {
        'kept.json': 'ours',
        'gone.json': 'a',
        'own.json': 'ours',
        'old.json': lines('ours', ...ten),
      },
      { 'lost.json': 'b', 'new.json': 'b', 'own.json': 'b', 'moved.json': lines(...ten, 'theirs') },
      { renames: { 'old.json': 'moved.json' } },
    ).sort((a, b) => (a.path < b.path ? -1 : 1)),
    [
      { path: 'gone.json', state: 'deleted' },
      {
        path: 'kept.json',
        state: 'left',
        note: 'the template has it no more; the team has changed it',
      },
      {
        path: 'lost.json',
        state: 'left',
        note: 'the team has deleted it; the template has changed',
      },
      { path: 'moved.json', state: 'changed', text: lines('ours', ...ten, 'theirs') },
      { path: 'new.json', state: 'created', text: 'b' },
      { path: 'old.json', state: 'deleted', note: 'it is moved.json now' },
      {
        path: 'own.json',
        state: 'left',
        note: 'the template has one now, and so has the team',
      },
    ],
  )
  t.end()
})

t.test('code of the first module is of the team', (t) => {
  const paths = [
    'src/notes/model.ts',
    'migrations/0001_create_note.ts',
    'seeds/01_notes.ts',
    'test/notes.test.ts',
    'commands/notes.ts',
    'plugins/version.ts',
    'README.md',
    '.env.example',
  ]
  const all = (text: string) => Object.fromEntries(paths.map((path) => [path, text]))
  t.strictSame(upgrade(t, all('a'), all('ours'), all('b')), [])
  t.strictSame(upgrade(t, all('a'), all('a'), all('b')), [])
  t.strictSame(upgrade(t, all('a'), all('ours'), {}), [])
  t.strictSame(upgrade(t, all('a'), {}, all('b')), [], 'it may be deleted without a word')
  t.strictSame(
    upgrade(t, { 'gone.json': 'a\n' }, { 'gone.json': 'a\r\n' }, {}),
    [{ path: 'gone.json', state: 'deleted' }],
    'whatever its lines end with',
  )
  t.strictSame(
    upgrade(
      t,
      { 'src/service.ts': 'a\n' },
      { 'src/service.ts': 'a\n' },
      { 'src/service.ts': 'b\n' },
    ),
    [{ path: 'src/service.ts', state: 'changed', text: 'b\n' }],
  )
  t.end()
})

t.test('code follows the kit, whoever has written it', (t) => {
  const rename = (name: string, from: string, to: string) => ({
    name,
    summary: `app.${from} is app.${to}`,
    change: (source: string) => renameMember(source, 'app', from, to),
  })
  // The service remembers the first one.
  const codemods = [
    rename('first', 'kept', 'wrong'),
    rename('second', 'a', 'b'),
    rename('third', 'c', 'd'),
  ]
  const service = (call: string, first = 'export', last = 'end') =>
    lines(`// ${first}`, ...ten, `app.${call}()`, ...ten, `// ${last}`)
  const strange = 'this is no TypeScript: app.a('
  t.strictSame(
    upgrade(
      t,
      { 'src/service.ts': service('a'), 'src/notes/model.ts': 'app.a()\n', 'bin/manage': 'app.a' },
      {
        'src/service.ts': service('a', 'ours'),
        'src/notes/model.ts': 'app.a()\n',
        'src/orders/close.ts': 'app.a(app.c, app.kept)\r\n// app.a is the text\r\n',
        'src/none.ts': 'other.a(app.ab, app["a"])\n',
        'src/strange.ts': strange,
        'bin/manage': 'app.a',
        'node_modules/other/index.js': 'app.a()\n',
        '.cache/old.js': 'app.a()\n',
      },
      {
        'src/service.ts': service('b', 'export', 'theirs'),
        'src/notes/model.ts': 'app.b()\n',
        'bin/manage': 'app.a',
      },
      { codemods },
    ).sort((a, b) => (a.path < b.path ? -1 : 1)),
    [
      {
        path: 'src/notes/model.ts',
        state: 'changed',
        text: 'app.b()\n',
        note: 'app.a is app.b',
      },
      {
        path: 'src/orders/close.ts',
        state: 'changed',
        text: 'app.b(app.d, app.kept)\r\n// app.a is the text\r\n',
        note: 'app.a is app.b; app.c is app.d',
      },
      // No conflict: what all three have to change is no difference between them.
      { path: 'src/service.ts', state: 'changed', text: service('b', 'ours', 'theirs') },
    ],
  )
  t.end()
})

t.test('in package.json each name counts for itself', (t) => {
  const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`
  const [change] = upgrade(
    t,
    {
      'package.json': json({
        scripts: { test: 'a', old: 'x' },
        dependencies: { b: '^1', c: '^1', gone: '^1', pinned: '^1' },
      }),
    },
    {
      'package.json': json({
        name: 'ours',
        scripts: { test: 'a', old: 'x', own: 'y' },
        dependencies: { z: '^9', b: '^1', c: '^1', gone: '^1', pinned: '1.5.0' },
      }),
    },
    {
      'package.json': json({
        scripts: { test: 'b' },
        dependencies: { b: '^2', c: '^1', added: '^3', pinned: '^2' },
      }),
    },
  )
  t.match(change, {
    state: 'changed',
    note: 'dependencies.pinned is "1.5.0", the template has "^2"',
  })
  t.strictSame(JSON.parse(change?.text ?? ''), {
    name: 'ours',
    scripts: { test: 'b', own: 'y' },
    dependencies: { added: '^3', b: '^2', c: '^1', pinned: '1.5.0', z: '^9' },
  })
  t.end()
})

t.test('versions', (t) => {
  for (const [a, b] of [
    ['0.1.0', '0.1.1'],
    ['0.9.0', '0.10.0'],
    ['1.9.9', '2.0.0'],
  ] as const) {
    t.equal(isOlder(a, b), true)
    t.equal(isOlder(b, a), false)
    t.equal(isOlder(a, a), false)
  }
  t.end()
})
