import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { execute } from '../test/servers/mysql.ts'
import type { Driver } from './proof.ts'

/** Makes databases, and removes them all in the end. */
export class Databases {
  readonly #driver: Driver
  readonly #folder: string
  readonly #names: string[] = []

  /** @param folder where SQLite's files are */
  constructor(driver: Driver, folder: string) {
    this.#driver = driver
    this.#folder = folder
  }

  /** @returns the URL of a new, empty database */
  async create(): Promise<string> {
    const name = `plinth_prove_${randomUUID().replaceAll('-', '_')}`
    this.#names.push(name)
    if (this.#driver === 'sqlite') return `sqlite:${join(this.#folder, `${name}.db`)}`
    await execute(server(), `CREATE DATABASE ${name} CHARACTER SET utf8mb4`)
    return Object.assign(new URL(server()), { pathname: `/${name}` }).href
  }

  async drop(): Promise<void> {
    for (const name of this.#names.splice(0)) {
      if (this.#driver === 'mysql') await execute(server(), `DROP DATABASE IF EXISTS ${name}`)
      for (const ending of ['', '-wal', '-shm'])
        rmSync(join(this.#folder, `${name}.db${ending}`), { force: true })
    }
  }
}

function server(): string {
  const url = process.env.TEST_MYSQL_URL
  if (url) return url
  throw new Error('TEST_MYSQL_URL is not set: run it with npm run prove')
}
