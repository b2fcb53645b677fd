import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Fastify from 'fastify'
import type { Kysely } from 'kysely'
import database from '../plugins/database.ts'

/** A database whose tables only the proof knows. */
export type AnyDatabase = Kysely<Record<string, Record<string, unknown>>>

/** Opens a database for `work`. */
export async function withDatabase<T>(
  url: string,
  work: (db: AnyDatabase) => Promise<T>,
): Promise<T> {
  const app = Fastify()
  app.register(database, { url, queryTimeout: 0 })
  await app.ready()
  try {
    return await work(app.db as unknown as AnyDatabase)
  } finally {
    await app.close()
  }
}

/** Lets the migrations in `folder` import the kit. */
export function linkKit(folder: string): void {
  mkdirSync(join(folder, 'node_modules'), { recursive: true })
  symlinkSync(join(import.meta.dirname, '..'), join(folder, 'node_modules/plinth'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n')
}

/** Writes a folder of migrations, each given by its operations as text: `m.createTable(…)`. */
export function writeMigrations(
  folder: string,
  migrations: Readonly<Record<string, string>>,
): void {
  mkdirSync(folder, { recursive: true })
  for (const [name, operations] of Object.entries(migrations)) {
    const text = `import * as m from 'plinth/migration'\nexport default m.defineMigration([${operations}])\n`
    writeFileSync(join(folder, `${name}.ts`), text)
  }
}
