import { execFile } from 'node:child_process'
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { formatted } from '../../../commands/_format.ts'
import { diff } from '../../../src/database/migration/autodetector.ts'
import type { Migration } from '../../../src/database/migration/index.ts'
import { formatSnapshot } from '../../../src/database/migration/loader.ts'
import { describe } from '../../../src/database/migration/operations/index.ts'
import type { SchemaOperation } from '../../../src/database/migration/operations/operation.ts'
import {
  EMPTY_MIGRATION,
  nameFor,
  nextNumber,
  render,
} from '../../../src/database/migration/writer.ts'
import { normalSchema, type SchemaState } from '../../../src/database/schema/state.ts'
import { ENV, nodeOptions } from '../../helpers/manage.ts'
import { mutateSchema, randomSchema, seeded } from '../../helpers/random-schema.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))

const LONG = 'a_very_long_name_'.repeat(4).slice(0, 64)
const BEFORE: SchemaState = {
  city: {
    columns: { id: { type: 'integer', generated: true }, size: { type: 'integer' } },
    primaryKey: ['id'],
  },
}
const AFTER: SchemaState = {
  city: {
    columns: {
      id: { type: 'integer', generated: true },
      size: { type: 'bigint', nullable: true },
      kind: { type: 'varchar(8)', values: ['town', "o'er"], default: 'town' },
    },
    primaryKey: ['id'],
    unique: [{ name: 'city_kind_key', columns: ['kind'] }],
  },
  visit: {
    columns: {
      city: { type: 'integer' },
      at: {
        type: 'datetime',
        default: { mysql: 'current_timestamp(3)', sqlite: 'current_timestamp' },
      },
    },
    primaryKey: ['city', 'at'],
    foreignKeys: [
      {
        name: 'visit_city_fkey',
        columns: ['city'],
        table: 'city',
        references: ['id'],
        onDelete: 'cascade',
      },
    ],
  },
}

t.test('a migration as a person would have written it', async (t) => {
  t.equal(
    render(diff(BEFORE, AFTER)),
    `import { addColumn, addUnique, alterColumn, createTable, defineMigration } from 'plinth/migration'

export default defineMigration([
  addColumn('city', 'kind', { type: 'varchar(8)', values: ['town', "o'er"], default: 'town' }),
  addUnique('city', { name: 'city_kind_key', columns: ['kind'] }),
  alterColumn('city', 'size', {
    from: { type: 'integer' },
    to: { type: 'bigint', nullable: true },
  }),
  createTable('visit', {
    columns: {
      city: { type: 'integer' },
      at: {
        type: 'datetime',
        default: { mysql: 'current_timestamp(3)', sqlite: 'current_timestamp' },
      },
    },
    primaryKey: ['city', 'at'],
    foreignKeys: [
      {
        name: 'visit_city_fkey',
        columns: ['city'],
        table: 'city',
        references: ['id'],
        onDelete: 'cascade',
      },
    ],
  }),
])
`,
  )
  t.equal(
    render([{ type: 'renameTable', from: 'city', to: 'town' }]),
    `import { defineMigration, renameTable } from 'plinth/migration'

export default defineMigration([renameTable('city', 'town')])
`,
  )
})

t.test('the snapshot, in one order', async (t) => {
  const { city, visit } = AFTER as Record<string, SchemaState[string]>
  const text = formatSnapshot({
    migration: '0002_change_city_and_visit',
    tables: { visit, city } as SchemaState,
  })
  t.equal(
    text,
    `{
  "migration": "0002_change_city_and_visit",
  "tables": {
    "city": {
      "columns": {
        "id": { "type": "integer", "generated": true },
        "size": { "type": "bigint", "nullable": true },
        "kind": { "type": "varchar(8)", "values": ["town", "o'er"], "default": "town" }
      },
      "primaryKey": ["id"],
      "unique": [{ "name": "city_kind_key", "columns": ["kind"] }]
    },
    "visit": {
      "columns": {
        "city": { "type": "integer" },
        "at": {
          "type": "datetime",
          "default": { "mysql": "current_timestamp(3)", "sqlite": "current_timestamp" }
        }
      },
      "primaryKey": ["city", "at"],
      "foreignKeys": [
        {
          "name": "visit_city_fkey",
          "columns": ["city"],
          "table": "city",
          "references": ["id"],
          "onDelete": "cascade"
        }
      ]
    }
  }
}
`,
  )
  t.strictSame(JSON.parse(text).tables, normalSchema(AFTER))
})

/** Operations with all that is hard to format or to quote. */
const HARD: SchemaOperation[] = [
  { type: 'renameColumn', table: LONG, from: LONG, to: 'b' },
  { type: 'renameTable', from: LONG, to: LONG },
  { type: 'addColumn', table: LONG, column: LONG, definition: { type: 'text' } },
  {
    type: 'addColumn',
    table: 'order-line',
    column: '2nd',
    definition: { type: 'varchar(700)', default: `${'"long"\\ '.repeat(20)}'` },
  },
  {
    type: 'alterColumn',
    table: 'a',
    column: 'b',
    from: { type: 'varchar(9)', default: 'it\'s "so"\n' },
    to: { type: 'varchar(9)', values: Array.from({ length: 30 }, (_, i) => `value-${i}`) },
  },
  { type: 'addIndex', table: 'a', index: { name: LONG, columns: [LONG, LONG] } },
  {
    type: 'createTable',
    table: 'c',
    definition: {
      columns: { '2nd': { type: 'blob' }, 'with-dash': { type: 'double', default: -1.5e-7 } },
      primaryKey: ['2nd'],
      indexes: ['a', 'b'].map((name) => ({ name, columns: ['2nd'] })),
    },
  },
]

t.test('the formatter of the project has nothing left to do', async (t) => {
  const folder = t.testdir({ files: {}, node_modules: { '.bin': {} } })
  const { vcs: _, ...config } = JSON.parse(readFileSync(join(root, 'biome.json'), 'utf8'))
  const quotes = { formatter: { quoteStyle: 'double' } }
  const text = JSON.stringify({ ...config, javascript: quotes, root: true })
  writeFileSync(join(folder, 'biome.json'), `${text}\n`)
  const biome = join(root, 'node_modules/@biomejs/biome/bin/biome')
  symlinkSync(biome, join(folder, 'node_modules/.bin/biome'))
  const write = (name: string, plain: string) => {
    const path = join(folder, 'files', name)
    writeFileSync(path, formatted(path, plain))
  }
  for (let seed = 1; seed <= 4; seed++) {
    const random = seeded(seed)
    const a = randomSchema(random)
    write(`${seed}-create.ts`, render(diff({}, a)))
    write(`${seed}-change.ts`, render(diff(a, mutateSchema(random, a))))
  }
  write('hard.ts', render(HARD))
  write('empty.ts', EMPTY_MIGRATION)
  const args = [nodeOptions(), process.execPath, biome, 'check', '--max-diagnostics=5', 'files']
  const result = await promisify(execFile)(ENV, args, { cwd: folder }).catch(
    (error: { stdout: string; stderr: string }) => error,
  )
  t.match(result.stderr, /^Checked 10 files in \S+ No fixes applied/)
  t.match(readFileSync(join(folder, 'files/empty.ts'), 'utf8'), 'from "plinth/migration"')
})

t.test('without one, or where that fails, it is written plainly', async (t) => {
  const folder = t.testdir({ node_modules: { '.bin': {} } })
  const path = join(folder, 'migrations/0001_a.ts')
  const plain = render(HARD)
  const bin = join(folder, 'node_modules/.bin/prettier')
  const scripts = { fails: 'cat; exit 1', silent: 'cat >/dev/null', works: 'echo "// $2"; cat' }
  writeFileSync(join(folder, '.prettierrc'), '{}')
  for (const [what, script] of Object.entries(scripts)) {
    writeFileSync(bin, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    t.equal(formatted(path, plain), what === 'works' ? `// ${path}\n${plain}` : plain, what)
  }
})

t.test('what is written is what is read', async (t) => {
  const folder = t.testdir({ 'hard.ts': render(HARD) })
  const { default: migration } = (await import(pathToFileURL(join(folder, 'hard.ts')).href)) as {
    default: Migration
  }
  t.strictSame(migration, { operations: HARD, accept: [] })
})

t.test('a migration is called by what it does', async (t) => {
  const { city, visit } = AFTER as { city: SchemaState[string]; visit: SchemaState[string] }
  const name = (from: SchemaState, to: SchemaState, renames = {}) =>
    nameFor(diff(from, to, renames))
  const { unique: _, ...plain } = city
  t.equal(name({}, BEFORE), 'create_city')
  t.equal(name({}, AFTER), 'create_city_and_visit')
  t.equal(name({}, { ...AFTER, a: city, b: city }), 'create_a_and_3_more')
  t.equal(name(AFTER, { city }), 'drop_visit')
  t.equal(name(BEFORE, AFTER), 'change_city_and_visit')
  t.equal(name(BEFORE, { city }), 'change_city')
  t.equal(name({ city: plain }, { city }), 'add_city_kind_key')
  t.equal(name({ city }, { city: plain }), 'drop_city_kind_key')
  t.equal(name({ city }, { town: city }, { tables: { city: 'town' } }), 'rename_city_to_town')
  const { kind, ...rest } = city.columns
  const sort = { ...plain, columns: { ...rest, sort: kind as { type: 'text' } } }
  t.equal(
    name({ city: plain }, { city: sort }, { columns: { 'city.kind': 'sort' } }),
    'rename_city_kind_to_sort',
  )
  t.equal(
    name({ city }, { city: { ...BEFORE.city, columns: rest } as SchemaState[string] }),
    'drop_city_kind',
    'with its index',
  )
  t.equal(
    nameFor([{ type: 'dropTable', table: 'Order-Line', definition: visit }]),
    'drop_order_line',
  )
  t.equal(nameFor([{ type: 'renameTable', from: LONG, to: LONG }]).length, 60)
})

t.test('numbers', async (t) => {
  t.equal(nextNumber([]), '0001')
  t.equal(nextNumber(['0001_a', '0019_b']), '0020')
})

t.test('an operation in one line', async (t) => {
  t.strictSame(diff(BEFORE, AFTER).map(describe), [
    "+ column city.kind varchar(8) in ('town', 'o''er') default 'town'",
    '+ unique city(kind)',
    '~ column city.size integer to bigint null',
    '+ table visit',
  ])
  t.strictSame(diff(AFTER, BEFORE).map(describe), [
    '- table visit',
    '- unique city(kind)',
    '~ column city.size bigint null to integer',
    '- column city.kind',
  ])
  const [visit] = Object.values(AFTER).slice(1) as [SchemaState[string]]
  const [key] = visit.foreignKeys ?? []
  t.equal(
    describe({ type: 'addForeignKey', table: 'visit', foreignKey: key as NonNullable<typeof key> }),
    '+ foreign key visit(city) to city(id) on delete cascade',
  )
})
