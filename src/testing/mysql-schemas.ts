import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import type { Connection, RowDataPacket } from 'mysql2/promise'
import { quoteName } from '../database/dialect/ddl.ts'
import { createDatabase, dropDatabase } from '../database/maintenance.ts'
import { parseDatabaseUrl } from '../database/open.ts'
import type { MysqlTarget } from '../database/types.ts'
import { isAlive } from '../http/received-files.ts'
import type { IsolatedDatabase, Template } from './isolated.ts'

const quote = (name: string) => quoteName(name, 'mysql')

/** A table, and what it holds. */
interface TableLook {
  readonly name: string
  /** The number of its next row; null: it numbers none. */
  readonly next: number | null
  readonly sum: number
}

/** A schema of this process, made once and used by one test after the other. */
interface Schema {
  readonly key: string
  readonly setUpKey: unknown
  readonly server: string
  readonly target: MysqlTarget
  readonly url: string
  readonly base: MysqlTarget
  readonly tables: ReadonlyMap<string, TableLook>
  readonly columns: ReadonlyMap<string, string>
}

const all: { target: MysqlTarget; base: MysqlTarget }[] = []
const free: Schema[] = []
let count = 0

/** A schema with what `template` makes: a new one, or one that is free. */
export async function useMysqlSchema(
  server: string,
  template: Template,
): Promise<IsolatedDatabase> {
  const { key, setUpKey } = template
  const known = free.findLastIndex(
    (one) => one.key === key && one.setUpKey === setUpKey && one.server === server,
  )
  const [found] = known === -1 ? [] : free.splice(known, 1)
  const schema = found ?? (await makeSchema(server, template))
  const connection = await connect(schema.target)
  try {
    if (found) await restore(connection, schema)
  } catch {
    // A test has dropped tables: it is of no more use.
    await connection.end()
    return await useMysqlSchema(server, template)
  }
  let isClosed = false
  return {
    url: schema.url,
    restore: () => restore(connection, schema),
    async close() {
      if (isClosed) return
      isClosed = true
      // One that is open would keep the process from ending.
      await connection.end()
      free.push(schema)
    },
  }
}

async function makeSchema(server: string, template: Template): Promise<Schema> {
  const given = parseDatabaseUrl(server) as MysqlTarget
  if (count === 0) await sweep(given)
  dropAtEnd()
  count++
  const name = `${prefixOf(given)}${process.pid}_${count}`
  const target = { ...given, database: name }
  const base = { ...given, database: `${name}_base` }
  const url = Object.assign(new URL(server), { pathname: `/${name}` }).href
  all.push({ target, base })
  await createDatabase(target)
  await template.migrate(url)
  await template.setUp?.(url)
  const connection = await connect(target)
  try {
    const tables = new Map((await look(connection)).map((table) => [table.name, table]))
    const columns = await columnsOf(connection)
    const full = [...tables.values()].filter(({ sum }) => sum !== 0)
    if (full.length > 0) await createDatabase(base)
    for (const { name } of full) {
      const copy = `${quote(base.database)}.${quote(name)}`
      const list = columns.get(name)
      await connection.query(
        `create table ${copy} like ${quote(name)}; insert into ${copy} (${list}) select ${list} from ${quote(name)}`,
      )
    }
    const { key, setUpKey } = template
    return { key, setUpKey, server, target, url, base, tables, columns }
  } finally {
    await connection.end()
  }
}

/** Empties and fills what has changed since. @throws {Error} where tables are gone */
async function restore(connection: Connection, { tables, columns, base }: Schema): Promise<void> {
  const found = await look(connection)
  const gone = [...tables.keys()].filter((name) => !found.some((table) => table.name === name))
  if (gone.length > 0)
    throw new Error(`reset() puts rows back, and no tables that were dropped: ${gone.join(', ')}`)
  const changes = found.flatMap((table) => {
    // Of tables that have been made since there is nothing to put back.
    const { sum, next } = tables.get(table.name) ?? { sum: 0, next: table.next && 1 }
    const name = quote(table.name)
    const list = columns.get(table.name)
    return [
      ...(table.sum !== sum ? [`delete from ${name}`] : []),
      ...(table.sum !== sum && sum !== 0
        ? [`insert into ${name} (${list}) select ${list} from ${quote(base.database)}.${name}`]
        : []),
      ...(table.next !== next ? [`alter table ${name} auto_increment = ${next}`] : []),
    ]
  })
  if (changes.length > 0) await connection.query(changes.join(';'))
}

/** All tables. An empty one has the sum 0. */
async function look(connection: Connection): Promise<TableLook[]> {
  const tables = await rows<{ name: string; next: number | string | null }>(
    connection,
    "select table_name as name, auto_increment as next from information_schema.tables where table_schema = database() and table_type = 'BASE TABLE'",
  )
  if (tables.length === 0) return []
  const sums = await rows<{ Table: string; Checksum: number | string | null }>(
    connection,
    `checksum table ${tables.map(({ name }) => quote(name)).join(', ')}`,
  )
  const sumOf = new Map(sums.map(({ Table, Checksum }) => [Table, Number(Checksum)]))
  return tables.map(({ name, next }) => ({
    name,
    next: next === null ? null : Number(next),
    sum: sumOf.get(`${connection.config.database}.${name}`) ?? 0,
  }))
}

/** Those that can be written, as a list for an insert. */
async function columnsOf(connection: Connection): Promise<ReadonlyMap<string, string>> {
  const found = await rows<{ name: string; of: string }>(
    connection,
    "select column_name as name, table_name as of from information_schema.columns where table_schema = database() and coalesce(generation_expression, '') = '' order by ordinal_position",
  )
  const byTable = Map.groupBy(found, (column) => column.of)
  return new Map(
    Array.from(byTable, ([table, columns]) => [
      table,
      columns.map(({ name }) => quote(name)).join(', '),
    ]),
  )
}

async function rows<Row>(connection: Connection, sql: string): Promise<Row[]> {
  const [found] = await connection.query<RowDataPacket[]>(sql)
  return found as Row[]
}

async function connect({ host, port, user, password, database, tls }: MysqlTarget) {
  const { createConnection } = await import('mysql2/promise')
  const connection = await createConnection({
    ...{ host, port, user, password, database },
    ...(tls && { ssl: { rejectUnauthorized: tls.verify, verifyIdentity: tls.verify } }),
    multipleStatements: true,
  })
  // A transaction that a test has left open is told, and not waited for.
  // A row 0 would get another number, what tables refer to is put back, too, and MySQL would tell numbers of a day ago (MariaDB does not read this).
  await connection.query(
    "set session sql_mode = concat(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO'), foreign_key_checks = 0, lock_wait_timeout = 20, innodb_lock_wait_timeout = 20 /*!80000 , information_schema_stats_expiry = 0 */",
  )
  return connection
}

/** Of this machine: others may use the server, too. */
function prefixOf({ database }: MysqlTarget): string {
  const machine = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)
  return `${database.slice(0, 20)}_test_${machine}_`
}

/** Drops the schemas of processes that were killed, and could not. */
async function sweep(server: MysqlTarget): Promise<void> {
  const prefix = prefixOf(server)
  const { createConnection } = await import('mysql2/promise')
  const { host, port, user, password, tls } = server
  const connection = await createConnection({
    ...{ host, port, user, password },
    ...(tls && { ssl: { rejectUnauthorized: tls.verify, verifyIdentity: tls.verify } }),
  })
  try {
    const found = await rows<{ name: string }>(
      connection,
      'select schema_name as name from information_schema.schemata',
    )
    for (const { name } of found) {
      if (!name.startsWith(prefix)) continue
      const pid = /^(\d+)_\d+(?:_base)?$/.exec(name.slice(prefix.length))?.[1]
      if (pid !== undefined && !isAlive(Number(pid)))
        await connection.query(`drop database if exists ${quote(name)}`)
    }
  } finally {
    await connection.end()
  }
}

let isDropping = false

/** When the process has nothing more to do. */
function dropAtEnd(): void {
  if (isDropping) return
  isDropping = true
  process.once('beforeExit', async () => {
    isDropping = false
    free.length = 0
    // One that cannot be reached any more is dropped by who comes next.
    for (const { target, base } of all.splice(0))
      for (const one of [target, base]) await dropDatabase(one).catch(() => {})
  })
}
