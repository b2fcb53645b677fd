import type { FastifyInstance } from 'fastify'
import type { ColumnType, Generated, Kysely } from 'kysely'

type Timestamp = ColumnType<string, Date, Date>

interface Tables {
  city: {
    id: Generated<number>
    name: string
    country: string
    population: number
    lat: number
    lon: number
    created_at: Timestamp
    updated_at: Timestamp
  }
  country: {
    code: string
    name: string
    capital: string | null
    region: string
    subregion: string | null
    area: number | null
    lat: number
    lon: number
    flag: string
  }
}

export type Database = Kysely<Tables>

/** `app.db` with the types of these tables. */
export function databaseOf(app: FastifyInstance): Database {
  return app.db as unknown as Database
}

/** `-population,name` as columns and directions; the key breaks ties. */
export function parseOrder(order: string | undefined, key: string): [string, 'asc' | 'desc'][] {
  const columns = order?.split(',') ?? []
  const sign = columns.at(-1)?.startsWith('-') ? '-' : ''
  if (!columns.some((column) => column === key || column === `-${key}`)) columns.push(sign + key)
  return columns.map((column) =>
    column.startsWith('-') ? [column.slice(1), 'desc'] : [column, 'asc'],
  )
}

/** A pattern for `like … escape '!'` that finds `part` anywhere. */
export function containing(part: string): string {
  return `%${part.replace(/[!%_]/g, '!$&')}%`
}

export function numPages(total: number, pageSize: number): number {
  return Math.max(1, Math.ceil(total / pageSize))
}
