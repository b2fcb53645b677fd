import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { listMigrations, loadMigrations } from '../../../src/database/migration/loader.ts'

/** Writes a folder `real` with migrations, and what they import beside them. */
function write(t: Test, migrations: Readonly<Record<string, string>>): string {
  const root = t.testdir({
    real: {
      'package.json': '{ "type": "module" }',
      node_modules: {
        words: { 'package.json': '{ "type": "module", "exports": "./index.js" }', 'index.js': '' },
      },
    },
  })
  writeFileSync(join(root, 'real/node_modules/words/index.js'), 'export const word = "kind"\n')
  mkdirSync(join(root, 'real/migrations/shared'), { recursive: true })
  writeFileSync(
    join(root, 'real/migrations/shared/counter.ts'),
    'let calls = 0\nexport const count = (): number => ++calls\n',
  )
  for (const [name, text] of Object.entries(migrations))
    writeFileSync(join(root, 'real/migrations', name), text)
  return root
}

const importing = `import { word } from 'words'
import { count } from './shared/counter.ts'
export default { operations: [{ type: word }, { type: String(count()) }] }
`

/** The types of all their operations. */
async function load(directory: string): Promise<string[]> {
  const loaded = await loadMigrations(await listMigrations(directory))
  return loaded.flatMap(({ operations }) => operations.map(({ type }) => type as string)).sort()
}

t.test('they share what they import', async (t) => {
  const root = write(t, { '0001_a.ts': importing, '0002_b.ts': importing, '0003_c.ts': importing })
  t.strictSame(await load(join(root, 'real/migrations')), ['1', '2', '3', 'kind', 'kind', 'kind'])
})

t.test('a link to their folder leads to what is beside them', async (t) => {
  const root = write(t, { '0001_a.ts': importing })
  mkdirSync(join(root, 'app'))
  symlinkSync(join(root, 'real/migrations'), join(root, 'app/migrations'))
  t.strictSame(await load(join(root, 'app/migrations')), ['1', 'kind'])
})

t.test('says what cannot be found', async (t) => {
  const root = write(t, { '0001_a.ts': "import 'words'\nimport './nowhere.ts'\n" })
  await t.rejects(load(join(root, 'real/migrations')), {
    code: 'MIGRATION_INVALID',
    message: /0001_a\.ts cannot be used: Cannot find module .+nowhere\.ts/,
  })
})
