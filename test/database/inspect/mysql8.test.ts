import t from 'tap'
import {
  type Catalogue,
  type ColumnRow,
  MysqlTable,
} from '../../../src/database/dialect/mysql/introspect.ts'

// What MySQL 8 answers, by its manual and bug reports: tests run on MariaDB where that is what there is.
const column = (name: string, type: string, rest: Partial<ColumnRow> = {}): ColumnRow => ({
  ...{ table: 'city', name, type, nullable: 'NO', default: null, extra: '', charset: null },
  ...{ collation: null, expression: '', comment: '' },
  ...rest,
})

const text = { charset: 'utf8mb4', collation: 'utf8mb4_0900_ai_ci' }
const generated = { extra: 'DEFAULT_GENERATED' }

const TABLE = {
  ...{ name: 'city', kind: 'BASE TABLE', engine: 'InnoDB', collation: text.collation },
  ...{ options: '', comment: '' },
}

const CATALOGUE: Catalogue = {
  isMariadb: false,
  ownCollation: text.collation,
  tables: [TABLE],
  columns: [
    column('id', 'bigint', { extra: 'auto_increment' }),
    column('flag', 'tinyint(1)', { default: '1' }),
    column('name', 'varchar(20)', { ...text, default: `it's "a\\b"` }),
    column('digits', 'varchar(20)', { ...text, default: '007' }),
    column('price', 'decimal(10,2)', { default: '1.50' }),
    column('doc', 'json', { default: `_utf8mb4\\'{"a":1}\\'`, ...generated }),
    column('body', 'longtext', { ...text, default: `_utf8mb4\\'it\\\\\\'s\\'`, ...generated }),
    column('made', 'datetime(3)', { default: 'CURRENT_TIMESTAMP(3)', ...generated }),
    column('touched', 'timestamp', {
      default: 'CURRENT_TIMESTAMP',
      extra: 'DEFAULT_GENERATED on update CURRENT_TIMESTAMP',
    }),
    column('code', 'char(36)', {
      charset: 'ascii',
      collation: 'ascii_bin',
      default: 'uuid()',
      ...generated,
    }),
    column('kind', 'varchar(8)', text),
    column('shout', 'varchar(20)', {
      ...text,
      nullable: 'YES',
      extra: 'VIRTUAL GENERATED',
      expression: "concat(`name`,_utf8mb4\\'!\\')",
    }),
  ],
  indexes: [
    ['PRIMARY', 'id', 0, null],
    ['city_name_idx', 'name', 1, null],
    ['city_lower_idx', null, 1, null],
  ].map(([index, column, nonUnique, part]) => ({
    ...{ table: 'city', direction: 'A', type: 'BTREE' },
    ...({ index, column, nonUnique, part } as {
      index: string
      column: string | null
      nonUnique: number
      part: null
    }),
  })),
  foreignKeys: [
    {
      ...{ table: 'city', name: 'city_kind_fkey', column: 'kind', schema: 'shop' },
      ...{ targetSchema: 'shop', target: 'kind', targetColumn: 'code' },
      ...{ onUpdate: 'NO ACTION', onDelete: 'CASCADE' },
    },
  ],
  checks: [
    {
      ...{ table: 'city', name: 'city_kind_check' },
      clause: "(`kind` in (_utf8mb4\\'a\\',_utf8mb4\\'it\\\\\\'s\\'))",
    },
    { table: 'city', name: 'city_chk_1', clause: '(`id` > 0)' },
  ],
  triggers: [],
  routines: [],
}

t.test("reads MySQL 8's forms of defaults, checks and rules", async (t) => {
  const notes: string[] = []
  const read = new MysqlTable(TABLE, CATALOGUE, notes).read()
  t.strictSame(notes, [
    'city: the index city_lower_idx is on an expression and is left out',
    'city: the check city_chk_1 ((`id` > 0)) is left out',
  ])
  t.strictSame(read, {
    columns: {
      id: { type: 'bigint', generated: true },
      flag: { type: 'boolean', default: true },
      name: { type: 'varchar(20)', default: `it's "a\\b"` },
      digits: { type: 'varchar(20)', default: '007' },
      price: { type: 'decimal(10,2)', default: '1.50' },
      doc: { type: 'json', default: '{"a":1}' },
      body: { type: 'text', default: "it's" },
      made: {
        type: 'datetime',
        default: {
          mysql: 'CURRENT_TIMESTAMP(3)',
          sqlite: "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
        },
      },
      touched: {
        type: { mysql: 'timestamp on update current_timestamp', sqlite: 'datetime(3)' },
        default: { mysql: 'CURRENT_TIMESTAMP', sqlite: "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))" },
      },
      code: { type: 'uuid', default: { mysql: '(uuid())', sqlite: '(uuid())' } },
      kind: { type: 'varchar(8)', values: ['a', "it's"] },
      shout: {
        type: {
          mysql: "varchar(20) generated always as (concat(`name`,_utf8mb4'!')) virtual",
          sqlite: 'varchar(20)',
        },
        nullable: true,
      },
    },
    primaryKey: ['id'],
    indexes: [{ name: 'city_name_idx', columns: ['name'] }],
    foreignKeys: [
      {
        name: 'city_kind_fkey',
        columns: ['kind'],
        table: 'kind',
        references: ['code'],
        onDelete: 'cascade',
      },
    ],
  })
})
