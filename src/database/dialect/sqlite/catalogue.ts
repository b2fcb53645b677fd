import { sql } from 'kysely'

export interface Entry {
  type: 'table' | 'view' | 'trigger' | 'index'
  /** Of a table: `virtual`, or `shadow`, which a virtual one keeps its rows in. */
  kind: string | null
  name: string
  table: string
  sql: string | null
}

export interface Column {
  table: string
  name: string
  type: string
  notnull: number
  default: string | null
  /** Its place in the primary key, from 1; 0: none. */
  pk: number
  /** 2, 3: computed. */
  hidden: number
}

export interface IndexColumn {
  table: string
  index: string
  unique: number
  /** `c`: made by CREATE INDEX, `u`: by UNIQUE, `pk`. */
  origin: string
  partial: number
  /** null for an expression. */
  column: string | null
  desc: number
  coll: string | null
}

export interface KeyColumn {
  table: string
  id: number
  target: string
  from: string
  /** null: the primary key of the target. */
  to: string | null
  onUpdate: string
  onDelete: string
}

export const ENTRIES = sql<Entry>`
  select s.type, l.type as kind, s.name, s.tbl_name as "table", s.sql
  from sqlite_schema s left join pragma_table_list l on l.name = s.name and l.schema = 'main'
  order by s.name`

export const COLUMNS = sql<Column>`
  select m.name as "table", c.name, c.type, c."notnull", c.dflt_value as "default", c.pk, c.hidden
  from sqlite_schema m join pragma_table_xinfo(m.name) c
  where m.type = 'table' order by m.name, c.cid`

export const INDEXES = sql<IndexColumn>`
  select m.name as "table", l.name as "index", l."unique", l.origin, l.partial, x.name as "column", x."desc", x.coll
  from sqlite_schema m join pragma_index_list(m.name) l join pragma_index_xinfo(l.name) x
  where m.type = 'table' and x."key" = 1 order by m.name, l.name, x.seqno`

// The ids count from the last one of the text.
export const FOREIGN_KEYS = sql<KeyColumn>`
  select m.name as "table", k.id, k."table" as target, k."from", k."to", k.on_update as "onUpdate", k.on_delete as "onDelete"
  from sqlite_schema m join pragma_foreign_key_list(m.name) k
  where m.type = 'table' order by m.name, k.id desc, k.seq`
