import { constants, copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { loadSqlite } from '../database/dialect/sqlite/open.ts'
import { folderOf, type IsolatedDatabase, RUN, sweepDatabases, type Template } from './isolated.ts'

/** What is in the databases of this process from the beginning: a file that copies are made of. */
interface Base {
  readonly key: string
  readonly setUpKey: unknown
  readonly file: Promise<{ path: string; database: DatabaseSync }>
}

const bases: Base[] = []
let folder: string | undefined
let count = 0

/** A copy of what `template` makes, in a file of its own. */
export async function copySqlite(template: Template): Promise<IsolatedDatabase> {
  const { path, database } = await baseOf(template).file
  const file = newFile()
  copyFileSync(path, file, constants.COPYFILE_FICLONE)
  return {
    url: `sqlite:${file}`,
    async restore() {
      keepNewTables(database, file)
      // All pages at once, into the file that the app has open: it sees them with its next statement.
      await loadSqlite().backup(database, file, { rate: 2 ** 31 - 1 })
    },
    async close() {
      for (const ending of ['', '-wal', '-shm']) rmSync(file + ending, { force: true })
    },
  }
}

function baseOf(template: Template): Base {
  const { key, setUpKey } = template
  const known = bases.find((base) => base.key === key && base.setUpKey === setUpKey)
  if (known) return known
  const made = { key, setUpKey, file: makeBase(template) }
  bases.push(made)
  return made
}

async function makeBase(template: Template) {
  const path = newFile()
  copyFileSync(await migrated(template), path)
  await template.setUp?.(`sqlite:${path}`)
  const { DatabaseSync } = loadSqlite()
  return { path, database: new DatabaseSync(path) }
}

/** A file with the tables: made once in a run, whoever is first. */
async function migrated({ key, isShared, migrate }: Template): Promise<string> {
  const place = folderOf(isShared ? RUN : process.pid, 'templates')
  const path = join(place, `${key}.db`)
  if (existsSync(path)) return path
  const file = newFile()
  await migrate(`sqlite:${file}`)
  mkdirSync(place, { recursive: true })
  renameSync(file, path)
  return path
}

/** The kit makes some of its tables when it needs them, and knows then that they are there: they stay, and are empty. */
function keepNewTables(base: DatabaseSync, file: string): void {
  const { DatabaseSync } = loadSqlite()
  const copy = new DatabaseSync(file, { readOnly: true })
  try {
    const list = 'select name, sql from sqlite_schema where sql is not null order by rowid'
    const known = new Set(
      base
        .prepare(list)
        .all()
        .map(({ name }) => name),
    )
    const added = copy
      .prepare(list)
      .all()
      .filter(({ name }) => !known.has(name) && name !== 'sqlite_sequence')
    if (added.length === 0) return
    for (const { sql } of added) base.exec(String(sql))
    base.exec('pragma wal_checkpoint(truncate)')
  } finally {
    copy.close()
  }
}

function newFile(): string {
  if (folder === undefined) {
    sweepDatabases()
    const made = folderOf(process.pid, 'databases')
    mkdirSync(made, { recursive: true })
    const templates = folderOf(process.pid, 'templates')
    process.once('exit', () => {
      for (const own of [made, templates]) rmSync(own, { recursive: true, force: true })
    })
    folder = made
  }
  count++
  return join(folder, `${count}.db`)
}
