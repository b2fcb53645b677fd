import { type Kysely, sql } from 'kysely'

/** What information_schema tells of a database. Its own names differ in case by server, so all have aliases. */
export interface Catalogue {
  isMariadb: boolean
  /** What a table gets that a migration makes: that of the database, where it is utf8mb4. */
  ownCollation: string
  tables: TableRow[]
  columns: ColumnRow[]
  indexes: IndexRow[]
  foreignKeys: ForeignKeyRow[]
  checks: CheckRow[]
  triggers: { table: string; name: string }[]
  routines: { kind: string; name: string }[]
}

export interface TableRow {
  name: string
  /** `BASE TABLE`, `VIEW`, `SEQUENCE` */
  kind: string
  engine: string | null
  collation: string | null
  options: string | null
  comment: string | null
}

export interface ColumnRow {
  table: string
  name: string
  type: string
  nullable: 'YES' | 'NO'
  default: string | null
  extra: string
  charset: string | null
  collation: string | null
  expression: string | null
  comment: string
}

export interface IndexRow {
  table: string
  index: string
  nonUnique: number
  /** null for an expression. */
  column: string | null
  /** How many characters of it. */
  part: number | null
  /** A or D: ascending or descending. */
  direction: string | null
  /** BTREE, FULLTEXT, SPATIAL, HASH */
  type: string
}

export interface ForeignKeyRow {
  table: string
  name: string
  column: string
  targetSchema: string
  target: string
  targetColumn: string
  onUpdate: string
  onDelete: string
  schema: string
}

export interface CheckRow {
  table: string
  name: string
  clause: string
}

/** Reads all of it: a query for each table of information_schema that has something to say. */
export async function fetchCatalogue(db: Kysely<unknown>): Promise<Catalogue> {
  const rows = async <T>(query: ReturnType<typeof sql<T>>) => (await query.execute(db)).rows
  const [server] = await rows(SERVER)
  const isMariadb = /mariadb/i.test(server?.version ?? '')
  return {
    isMariadb,
    ownCollation: server?.collation ?? '',
    tables: await rows(TABLES),
    columns: await rows(COLUMNS),
    indexes: await rows(INDEXES),
    foreignKeys: await rows(FOREIGN_KEYS),
    checks: await rows(isMariadb ? CHECKS_OF_MARIADB : CHECKS_OF_MYSQL),
    triggers: await rows(TRIGGERS),
    routines: await rows(ROUTINES),
  }
}

const SERVER = sql<{ version: string; collation: string }>`
  select version() as version,
    if(@@character_set_database = 'utf8mb4', @@collation_database, default_collate_name) as collation
  from information_schema.character_sets where character_set_name = 'utf8mb4'`

const TABLES = sql<TableRow>`
  select table_name as name, table_type as kind, engine as engine, table_collation as collation,
    create_options as options, table_comment as comment
  from information_schema.tables where table_schema = database() order by table_name`

const COLUMNS = sql<ColumnRow>`
  select table_name as \`table\`, column_name as name, column_type as type, is_nullable as nullable,
    column_default as \`default\`, extra as extra, character_set_name as charset,
    collation_name as collation, generation_expression as expression, column_comment as comment
  from information_schema.columns where table_schema = database() order by table_name, ordinal_position`

const INDEXES = sql<IndexRow>`
  select table_name as \`table\`, index_name as \`index\`, non_unique as nonUnique, column_name as \`column\`,
    sub_part as part, collation as direction, index_type as type
  from information_schema.statistics where table_schema = database()
  order by table_name, index_name, seq_in_index`

const FOREIGN_KEYS = sql<ForeignKeyRow>`
  select u.table_name as \`table\`, u.constraint_name as name, u.column_name as \`column\`,
    u.table_schema as \`schema\`, u.referenced_table_schema as targetSchema,
    u.referenced_table_name as target, u.referenced_column_name as targetColumn,
    r.update_rule as onUpdate, r.delete_rule as onDelete
  from information_schema.key_column_usage u
  join information_schema.referential_constraints r
    on r.constraint_schema = u.constraint_schema and r.constraint_name = u.constraint_name
    and r.table_name = u.table_name
  where u.table_schema = database() and u.referenced_table_name is not null
  order by u.table_name, u.constraint_name, u.ordinal_position`

const CHECKS_OF_MARIADB = sql<CheckRow>`
  select table_name as \`table\`, constraint_name as name, check_clause as clause
  from information_schema.check_constraints where constraint_schema = database()
  order by table_name, constraint_name`

const CHECKS_OF_MYSQL = sql<CheckRow>`
  select t.table_name as \`table\`, c.constraint_name as name, c.check_clause as clause
  from information_schema.check_constraints c
  join information_schema.table_constraints t
    on t.constraint_schema = c.constraint_schema and t.constraint_name = c.constraint_name
    and t.constraint_type = 'CHECK'
  where c.constraint_schema = database() order by t.table_name, c.constraint_name`

const TRIGGERS = sql<{ table: string; name: string }>`
  select event_object_table as \`table\`, trigger_name as name
  from information_schema.triggers where trigger_schema = database() order by trigger_name`

const ROUTINES = sql<{ kind: string; name: string }>`
  select routine_type as kind, routine_name as name
  from information_schema.routines where routine_schema = database()
  union all select 'event', event_name from information_schema.events where event_schema = database()
  order by name`
