import t from 'tap'
import { type TSchema, Type } from 'typebox'
import { assertModels } from '../../../src/database/model/check.ts'
import { defineModel } from '../../../src/database/model/define.ts'
import { column, decimal, timestamp } from '../../../src/database/model/schemas.ts'
import type { AnyDefinition } from '../../../src/database/model/types.ts'
import type { ColumnState } from '../../../src/database/schema/state.ts'

const id = Type.Integer()

function stateOf(schema: TSchema): ColumnState | undefined {
  return defineModel('thing', { columns: { id, it: schema } }).state.columns.it
}

t.test('column types follow from schemas', async (t) => {
  const types: [TSchema, ColumnState][] = [
    [Type.Integer(), { type: 'bigint' }],
    [Type.Integer({ minimum: 0 }), { type: 'bigint' }],
    [Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 }), { type: 'integer' }],
    [Type.Integer({ minimum: -(2 ** 31), maximum: 5 }), { type: 'integer' }],
    [Type.Integer({ minimum: 0, maximum: 2 ** 31 }), { type: 'bigint' }],
    [Type.Number(), { type: 'double' }],
    [Type.Boolean(), { type: 'boolean' }],
    [Type.String(), { type: 'text' }],
    [Type.String({ pattern: '^[A-Z]{2}$' }), { type: 'text' }],
    [Type.String({ maxLength: 120 }), { type: 'varchar(120)' }],
    [Type.String({ minLength: 2, maxLength: 2 }), { type: 'varchar(2)' }],
    [Type.String({ maxLength: 16_384 }), { type: 'text' }],
    [Type.String({ format: 'date' }), { type: 'date' }],
    [Type.String({ format: 'time' }), { type: 'time' }],
    [Type.String({ format: 'date-time' }), { type: 'datetime' }],
    [Type.String({ format: 'uuid' }), { type: 'uuid' }],
    [Type.String({ format: 'email', maxLength: 99 }), { type: 'varchar(99)' }],
    [timestamp(), { type: 'datetime' }],
    [decimal(10, 2), { type: 'decimal(10,2)' }],
    [Type.Object({}), { type: 'json' }],
    [Type.Array(Type.String()), { type: 'json' }],
    [Type.Record(Type.String(), Type.Integer()), { type: 'json' }],
    [Type.Unknown(), { type: 'json' }],
    [Type.Union([Type.Object({}), Type.Array(Type.String())]), { type: 'json' }],
    [Type.Intersect([Type.Object({}), Type.Object({})]), { type: 'json' }],
    [column(Type.Enum(['town', 'city']), { check: false }), { type: 'varchar(4)' }],
    [Type.Enum(['town', 'city', 'Köln']), { type: 'varchar(4)', values: ['town', 'city', 'Köln'] }],
    [
      Type.Union([Type.Literal('a'), Type.Literal('bcd')]),
      { type: 'varchar(3)', values: ['a', 'bcd'] },
    ],
    [Type.Literal('only'), { type: 'varchar(4)', values: ['only'] }],
    [Type.Optional(Type.Integer()), { type: 'bigint', nullable: true }],
    [Type.Union([Type.Integer(), Type.Null()]), { type: 'bigint', nullable: true }],
    [
      Type.Optional(Type.Union([decimal(3, 1), Type.Null()])),
      { type: 'decimal(3,1)', nullable: true },
    ],
    [
      Type.Union([Type.Literal('a'), Type.Literal('b'), Type.Null()]),
      { type: 'varchar(1)', nullable: true, values: ['a', 'b'] },
    ],
    [Type.Integer({ default: 3 }), { type: 'bigint', default: 3 }],
    [Type.Boolean({ default: false }), { type: 'boolean', default: false }],
    [
      Type.Optional(Type.String({ maxLength: 9, default: 'x' })),
      { type: 'varchar(9)', nullable: true, default: 'x' },
    ],
    [Type.Array(Type.String(), { default: [] }), { type: 'json' }],
    [column(Type.String(), { type: 'char(2)' }), { type: 'char(2)' }],
    [column(Type.Integer(), { type: 'tinyint', default: 1 }), { type: 'tinyint', default: 1 }],
    [
      column(Type.Optional(timestamp()), {
        default: { mysql: 'now(3)', sqlite: 'current_timestamp' },
      }),
      {
        type: 'datetime',
        nullable: true,
        default: { mysql: 'now(3)', sqlite: 'current_timestamp' },
      },
    ],
    [
      column(Type.String(), { type: { mysql: 'point', sqlite: 'text' } }),
      { type: { mysql: 'point', sqlite: 'text' } },
    ],
  ]
  for (const [schema, state] of types) t.strictSame(stateOf(schema), state, JSON.stringify(schema))
})

t.test('a column says no more to whom it validates', async (t) => {
  const schema = Type.String({ maxLength: 2 })
  const marked = column(schema, { type: 'char(2)', default: 'xx' })
  t.strictSame(JSON.parse(JSON.stringify(marked)), { type: 'string', maxLength: 2 })
  t.strictSame(stateOf(schema), { type: 'varchar(2)' }, 'the schema itself is as it was')
})

const City = defineModel('city', {
  columns: {
    id,
    name: Type.String({ maxLength: 120 }),
    country: Type.String({ maxLength: 2 }),
    key: Type.String({ format: 'uuid' }),
    opens: Type.Optional(Type.String({ format: 'time' })),
    kind: column(Type.Enum(['town', 'city']), { default: 'town' }),
    size: Type.Integer({ default: 0 }),
  },
  generated: ['id', 'key'],
  indexes: [['name'], { name: 'by_kind', columns: ['kind', 'created_at'] }],
  unique: [['key']],
  foreignKeys: { country: 'country.code' },
  audit: true,
  softDelete: true,
})

t.test('a table has its keys, audit columns and the flag', async (t) => {
  t.strictSame(City.state, {
    columns: {
      id: { type: 'bigint', generated: true },
      name: { type: 'varchar(120)' },
      country: { type: 'varchar(2)' },
      key: { type: 'uuid' },
      opens: { type: 'time', nullable: true },
      kind: { type: 'varchar(4)', default: 'town', values: ['town', 'city'] },
      size: { type: 'bigint', default: 0 },
      created_at: { type: 'datetime' },
      created_by: { type: 'varchar(64)', nullable: true },
      updated_at: { type: 'datetime' },
      updated_by: { type: 'varchar(64)', nullable: true },
      deleted_at: { type: 'datetime', nullable: true },
    },
    primaryKey: ['id'],
    indexes: [
      { name: 'by_kind', columns: ['kind', 'created_at'] },
      { name: 'city_country_idx', columns: ['country'] },
      { name: 'city_name_idx', columns: ['name'] },
    ],
    unique: [{ name: 'city_key_key', columns: ['key'] }],
    foreignKeys: [
      { name: 'city_country_fkey', columns: ['country'], table: 'country', references: ['code'] },
    ],
  })
})

t.test('the API sees rows without the flag, and takes what a client may say', async (t) => {
  t.strictSame(Object.keys(City.schema.properties), [
    'id',
    'name',
    'country',
    'key',
    'opens',
    'kind',
    'size',
    'created_at',
    'created_by',
    'updated_at',
    'updated_by',
  ])
  t.strictSame(City.schema.required, Object.keys(City.schema.properties))
  t.strictSame(Object.keys(City.input.properties), ['name', 'country', 'opens', 'kind', 'size'])
  t.strictSame(City.input.required, ['name', 'country'])
  t.strictSame(Object.keys(City.patch.properties), Object.keys(City.input.properties))
  t.equal(City.patch.required, undefined)
  t.match(City.input.properties.size, { default: 0 })
  t.notOk('default' in City.patch.properties.size, 'a change fills nothing in')
  t.match(JSON.parse(JSON.stringify(City.schema.properties.opens)), {
    anyOf: [{ type: 'string', pattern: /:/ }, { type: 'null' }],
  })
})

t.test('an index that a foreign key needs is made once', async (t) => {
  const columns = { id, a: Type.Integer(), b: Type.Integer() }
  const keys = {
    foreignKeys: [{ columns: ['a', 'b'] as const, references: ['x', ['c', 'd']] as const }],
  }
  const indexesWith = (more: object) =>
    defineModel('t', { columns, ...keys, ...more }).state.indexes?.map(({ name }) => name)
  t.strictSame(indexesWith({}), ['t_a_b_idx'])
  t.equal(indexesWith({ unique: [['a', 'b']] }), undefined)
  t.equal(indexesWith({ primaryKey: ['a', 'b', 'id'] }), undefined)
  t.strictSame(indexesWith({ indexes: [['a', 'b', 'id']] }), ['t_a_b_id_idx'])
  t.strictSame(indexesWith({ indexes: [['b', 'a']] }), ['t_a_b_idx', 't_b_a_idx'])
})

t.test('names that nobody gave are not too long', async (t) => {
  const long = 'a'.repeat(40)
  const other = 'b'.repeat(40)
  const { state } = defineModel('t', {
    columns: { id, [long]: Type.Integer(), [other]: Type.Integer() },
    indexes: [
      [long, other],
      [other, long],
    ],
  })
  const names = state.indexes?.map(({ name }) => name) ?? []
  t.strictSame(
    names.map(({ length }) => length),
    [64, 64],
  )
  t.not(names[0], names[1])
  t.match(names[0], /^t_a+_b+_[0-9a-f]{8}$/)
})

const text = Type.String()
const code = Type.String({ maxLength: 9 })

t.test('what no database would take is refused, with place and remedy', async (t) => {
  const cases: [Partial<AnyDefinition>, string][] = [
    [{ columns: {} }, 'it has no columns; give it at least one'],
    [
      { columns: { id, x: Type.BigInt() } },
      "no type follows from the schema of the column x; give it one with column(schema, { type: 'varchar(20)' })",
    ],
    [
      { columns: { id, x: Type.Union([Type.String(), Type.Integer()]) } },
      "no type follows from the schema of the column x; give it one with column(schema, { type: 'varchar(20)' })",
    ],
    [
      { columns: { id, 'my name': text } },
      'the column my name cannot be called so; use letters of A to Z, digits and _',
    ],
    [
      { columns: { id, name: text, Name: text } },
      'the column Name has the name of another one but for capitals, which databases do not tell apart; rename it',
    ],
    [
      { columns: { id, ['x'.repeat(65)]: text } },
      `the column ${'x'.repeat(65)} has a name of 65 characters; 64 are possible, shorten it`,
    ],
    [
      { columns: { id, x: column(text, { type: 'money' as 'text' }) } },
      'the column x has the type money, which is not known; use one of docs/models.md, or { mysql, sqlite }',
    ],
    [
      { columns: { id, x: column(text, { type: 'varchar(20000)' }) } },
      'the column x is varchar(20000); 1 to 16383 characters are possible, or text without a maxLength',
    ],
    [
      { columns: { id, x: decimal(70, 2) } },
      'the column x is decimal(70,2); a decimal has 1 to 65 digits, of which up to 30 stand behind the point',
    ],
    [
      { columns: { id, x: Type.String({ default: 'x' }) } },
      'the column x is text, which has no default in MySQL; give it a maxLength, or no default',
    ],
    [
      { columns: { id, x: Type.Integer({ default: 'x' }) } },
      'the column x is bigint and its default is "x"; make it a number',
    ],
    [
      { columns: { id, x: Type.Enum(['a', 'b'], { default: 'c' }) } },
      'the column x has the default c, which is none of its values: a, b',
    ],
    [
      { columns: { id, x: Type.String({ maxLength: 2, default: 'long' }) } },
      'the column x is varchar(2), and its default long is longer; shorten it, or raise maxLength',
    ],
    [
      { columns: { id, x: Type.String({ format: 'date', default: '2026-01-01' }) } },
      "the column x is date; say its default in SQL: column(schema, { default: { mysql: '…', sqlite: '…' } })",
    ],
    [
      { columns: { id, created_at: timestamp() }, audit: true },
      'the column created_at is made by audit or softDelete; do not declare it, too',
    ],
    [
      { columns: { id, deleted_at: timestamp() }, softDelete: true },
      'the column deleted_at is made by audit or softDelete; do not declare it, too',
    ],
    [
      { columns: { code } },
      "it has no primary key; name its columns: primaryKey: ['code'], or add a column id",
    ],
    [
      { columns: { id }, primaryKey: ['nope'] },
      'primary key has the column nope, which is not there; there are id',
    ],
    [
      { columns: { text }, primaryKey: ['text'] },
      'primary key has the column text, which is text and cannot be in a key; give it a maxLength',
    ],
    [
      { columns: { id: Type.Optional(id) } },
      'the column id is in the primary key and cannot be null; make it required',
    ],
    [
      { columns: { id }, generated: ['nope'] },
      'generated names nope, which is no column; add it to columns',
    ],
    [
      { columns: { id: code }, generated: ['id'] },
      "the column id is generated and would be varchar(9); use Type.Integer() or Type.String({ format: 'uuid' })",
    ],
    [
      { columns: { id, n: id }, generated: ['n'] },
      "the column n is a generated integer; it has to be the whole primary key: primaryKey: ['n']",
    ],
    [
      { columns: { id, n: Type.Optional(Type.String({ format: 'uuid' })) }, generated: ['n'] },
      'the column n is generated and cannot be null; make it required',
    ],
    [
      { indexes: [['nope']] },
      'thing_nope_idx has the column nope, which is not there; there are id, code',
    ],
    [{ indexes: [[]] }, 'thing_idx has no columns; name at least one'],
    [
      { indexes: [['code', 'code']] },
      'thing_code_code_idx has the column code twice; leave one out',
    ],
    [
      { columns: { id, j: Type.Unknown() }, unique: [['j']] },
      'thing_j_key has the column j, which is json and cannot be in a key; give it a maxLength',
    ],
    [
      { indexes: [['code'], { name: 'other', columns: ['code'] }] },
      'thing_code_idx has the same columns as other; leave one out',
    ],
    [{ indexes: [['id']] }, 'thing_id_idx has the same columns as primary key; leave one out'],
    [
      {
        indexes: [{ name: 'x', columns: ['code'] }],
        unique: [{ name: 'x', columns: ['code', 'id'] }],
      },
      'x has the same name as x; leave one out',
    ],
    [
      { indexes: [{ name: 'no-', columns: ['code'] }] },
      'the key no- cannot be called so; use letters of A to Z, digits and _',
    ],
    [
      { columns: { id, x: Type.String({ maxLength: 800 }) }, indexes: [['x']] },
      'thing_x_idx has 3200 bytes, and MySQL takes 3072 (768 characters); lower the maxLength of its columns',
    ],
    [
      {
        columns: {
          id,
          x: Type.String({ maxLength: 16_383 }),
          y: Type.String({ maxLength: 16_383 }),
        },
      },
      'a row could have 131082 bytes, and MySQL takes 65535; leave out a maxLength (text), or lower one',
    ],
    [
      { foreignKeys: [{ columns: ['nope'], references: ['x', ['id']] }] },
      'thing_nope_idx has the column nope, which is not there; there are id, code',
    ],
    [
      { foreignKeys: [{ columns: ['code'], references: ['x', ['id']], onDelete: 'set null' }] },
      'thing_code_fkey sets code to null, which cannot be null; make it Type.Optional(…), or choose another action',
    ],
  ]
  for (const [definition, problem] of cases) {
    t.throws(() => defineModel('thing', { columns: { id, code }, ...definition } as never), {
      code: 'MODEL_INVALID',
      message: `The model thing cannot be used: ${problem}`,
    })
  }
  t.throws(() => defineModel('12', { columns: { id } }), {
    message:
      'The model 12 cannot be used: the table 12 cannot be called so; use letters of A to Z, digits and _',
  })
  t.throws(() => defineModel('plinth_x', { columns: { id } }), { code: 'MODEL_INVALID' })
  t.doesNotThrow(() => defineModel('select', { columns: { id, order: id, group: code } }))
})

t.test('a foreign key is said in short, by column in full, or in a list', async (t) => {
  const keyOf = (foreignKeys: object) =>
    defineModel('thing', { columns: { id, code }, foreignKeys } as never).state.foreignKeys
  const plain = { name: 'thing_code_fkey', columns: ['code'], table: 'x', references: ['y'] }
  for (const foreignKeys of [
    { code: 'x.y' },
    { code: { references: 'x.y' } },
    { code: { references: ['x', ['y']] } },
    [{ columns: ['code'], references: 'x.y' }],
    [{ columns: ['code'], references: ['x', ['y']] }],
  ])
    t.strictSame(keyOf(foreignKeys), [plain])
  const actions = { onDelete: 'cascade', onUpdate: 'cascade' }
  t.strictSame(keyOf({ code: { references: 'x.y', name: 'own', ...actions } }), [
    { ...plain, name: 'own', ...actions },
  ])
  for (const foreignKeys of [
    { code: 1 },
    { code: {} },
    { code: null },
    { code: { references: ['x', 'y'] } },
    { code: { table: 'x', columns: ['y'] } },
    { columns: ['code'], references: ['x', ['y']] },
    [{ columns: ['code'] }],
  ])
    t.throws(() => keyOf(foreignKeys), {
      code: 'MODEL_INVALID',
      message:
        /^The model thing cannot be used: the foreign key of \w+ does not say what it refers/,
    })
})

t.test('what a client says fits a column with a type of its own', async (t) => {
  const { schema, input, patch } = defineModel('thing', {
    columns: {
      id,
      small: column(Type.Integer(), { type: 'smallint' }),
      positive: column(Type.Integer({ minimum: 0 }), { type: 'tinyint' }),
      short: column(Type.Optional(Type.String()), { type: 'char(3)' }),
    },
  })
  for (const { properties } of [input, patch]) {
    t.match(properties.small, { minimum: -32_768, maximum: 32_767 })
    t.match(properties.positive, { minimum: 0, maximum: 127 })
    t.match(properties.short, { anyOf: [{ maxLength: 3 }, { type: 'null' }] })
  }
  t.notOk('maximum' in schema.properties.small, 'what is there can be read')
})

t.test('tables are checked against one another', async (t) => {
  const Country = defineModel('country', {
    columns: { code: Type.String({ maxLength: 2 }), name: code, n: id },
    primaryKey: ['code'],
    unique: [['n']],
  })
  const refer = (target: string, schema: TSchema = Type.String({ maxLength: 2 })) =>
    defineModel('town', { columns: { id, c: schema }, foreignKeys: { c: target as 'a.b' } })
  const problemOf = (...models: Parameters<typeof assertModels>[0][number][]) => {
    try {
      assertModels(models)
      return null
    } catch (error) {
      return (error as Error).message
    }
  }
  t.equal(problemOf(Country, refer('country.code')), null)
  t.equal(problemOf(refer('country.n', id), Country), null)
  const self = defineModel('node', {
    columns: { id, parent: Type.Optional(id) },
    foreignKeys: { parent: 'node.id' },
  })
  t.equal(problemOf(self), null)
  const prefix = 'The model town cannot be used: '
  t.equal(
    problemOf(refer('country.code')),
    `${prefix}town_c_fkey refers to the table country, which no model has; add its model, or mend the name`,
  )
  t.equal(
    problemOf(Country, refer('country.nope')),
    `${prefix}town_c_fkey refers to country.nope; there are code, name, n`,
  )
  t.equal(
    problemOf(Country, refer('country')),
    `${prefix}town_c_fkey refers to country.; there are code, name, n`,
  )
  t.equal(
    problemOf(Country, refer('country.name', code)),
    `${prefix}town_c_fkey refers to country.name, which is neither the primary key nor unique; make it unique`,
  )
  t.equal(
    problemOf(Country, refer('country.n', code)),
    `${prefix}town_c_fkey refers from c (varchar(9)) to country.n (bigint); give both the same type`,
  )
  t.equal(
    problemOf(self, self),
    'The model node cannot be used: there are two of that name; rename one of them',
  )
  const named = (table: string, name: string) =>
    defineModel(table, { columns: { id, n: id }, indexes: [{ name, columns: ['n'] }] })
  t.equal(
    problemOf(named('a', 'x'), named('A', 'y')),
    'The model a cannot be used: there are two of that name; rename one of them',
  )
  const refers = (table: string) =>
    defineModel(table, {
      columns: { id, n: id },
      foreignKeys: [{ name: 'to_country', columns: ['n'], references: ['country', ['id']] }],
    })
  t.equal(
    problemOf(Country, refers('a'), refers('b')),
    'The model b cannot be used: the name to_country is taken by the table a; give the key a name of its own',
  )
  t.equal(
    problemOf(named('a', 'b'), named('b', 'x')),
    'The model a cannot be used: the name b is taken by the table b; give the key a name of its own',
  )
})
