import { type Kysely, sql } from 'kysely'
import { runRebuild } from '../../../src/database/dialect/sqlite/ddl.ts'
import { diff } from '../../../src/database/migration/autodetector.ts'
import { compileOperations } from '../../../src/database/migration/operations/index.ts'
import type { SchemaState } from '../../../src/database/schema/state.ts'
import type { DialectName } from '../../../src/database/schema/types.ts'
import type { AnyDatabase } from '../fixture.ts'

/** Creates the tables of a schema, as a first migration does. */
export async function create(
  db: AnyDatabase,
  schema: SchemaState,
  dialect: DialectName,
): Promise<void> {
  const steps = compileOperations(diff({}, schema), {}, dialect)
  await db.connection().execute(async (one) => {
    if (dialect === 'sqlite') await runAll(one, ['pragma foreign_keys = off'])
    for (const step of steps) {
      if ('rebuild' in step) await runRebuild(one, step)
      else if ('sql' in step) await runAll(one, [step.sql])
    }
    if (dialect === 'sqlite') await runAll(one, ['pragma foreign_keys = on'])
  })
}

/** Runs statements one after the other. */
export async function runAll<DB>(db: Kysely<DB>, statements: readonly string[]): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

/** Each type, each kind of default and key. */
export const EVERYTHING: SchemaState = {
  country: {
    columns: {
      code: { type: 'char(2)' },
      region: { type: 'smallint' },
      name: { type: 'varchar(120)', default: `it's "quoted" \\ and \`so\`\n--` },
    },
    primaryKey: ['code', 'region'],
    unique: [{ name: 'country_name_key', columns: ['name', 'code'] }],
  },
  city: {
    columns: {
      id: { type: 'bigint', generated: true },
      country_code: { type: 'char(2)', nullable: true },
      country_region: { type: 'smallint', nullable: true },
      twin_id: { type: 'bigint', nullable: true },
      kind: { type: 'varchar(8)', values: ['town', `it's`, '', 'a\\b'], default: 'town' },
      rank: { type: 'varchar(4)', values: ['a'], nullable: true },
    },
    primaryKey: ['id'],
    indexes: [
      { name: 'city_twin_id_idx', columns: ['twin_id'] },
      { name: 'city_country_code_country_region_idx', columns: ['country_code', 'country_region'] },
    ],
    foreignKeys: [
      {
        name: 'city_country_fkey',
        columns: ['country_code', 'country_region'],
        table: 'country',
        references: ['code', 'region'],
        onDelete: 'set null',
        onUpdate: 'cascade',
      },
      { name: 'city_twin_id_fkey', columns: ['twin_id'], table: 'city', references: ['id'] },
    ],
  },
  sample: {
    columns: {
      id: { type: 'uuid' },
      flag: { type: 'boolean', default: true },
      off: { type: 'boolean', default: false },
      tiny: { type: 'tinyint', default: -1 },
      small: { type: 'smallint', nullable: true },
      int: { type: 'integer', default: 0 },
      big: { type: 'bigint', default: '9223372036854775807' },
      ratio: { type: 'double', default: 1.5 },
      price: { type: 'decimal(12,4)', default: '-1.5000' },
      code: { type: 'char(3)', default: '' },
      name: { type: 'varchar(20)', default: '007', nullable: true },
      body: { type: 'text', default: 'a text' },
      born: { type: 'date', default: '2020-02-29' },
      at: { type: 'time', nullable: true },
      seen: { type: 'datetime', default: '2020-02-29 10:00:00.500' },
      made: {
        type: 'datetime',
        default: { mysql: 'current_timestamp(3)', sqlite: 'current_timestamp' },
      },
      doc: { type: 'json', default: '{"a":[1]}' },
      data: { type: 'blob', default: 'abc' },
      none: { type: 'json', nullable: true },
    },
    primaryKey: ['id'],
    unique: [{ name: 'sample_code_key', columns: ['code'] }],
  },
}
