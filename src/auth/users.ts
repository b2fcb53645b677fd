import { hash } from 'node:crypto'
import { type RawBuilder, sql } from 'kysely'
import { Type } from 'typebox'
import { secret } from '../config/secret.ts'
import { currentTransaction } from '../database/current-transaction.ts'
import { defineModel } from '../database/model/define.ts'
import { uuidv7 } from '../database/model/query/fill.ts'
import { column, timestamp } from '../database/model/schemas.ts'
import type { Db } from '../database/model/types.ts'
import { instant } from '../database/portable.ts'
import { isUniqueViolation } from '../database/violations.ts'
import { errors } from '../errors.ts'
import type { User } from '../resource/context.ts'
import type { PasswordHashes } from './password-hashes.ts'

const MAX_NAME = 150
const PASSWORD = { min: 8, max: 1024 }

export const AuthUser = defineModel('auth_user', {
  columns: {
    id: Type.String({ format: 'uuid' }),
    // MySQL's usual collations take an é for an e: names that differ would be one.
    name: column(Type.String({ maxLength: MAX_NAME }), {
      type: {
        sqlite: 'text',
        mysql: `varchar(${MAX_NAME}) character set utf8mb4 collate utf8mb4_bin`,
      },
    }),
    password: Type.Optional(secret(Type.String({ maxLength: 255 }))),
    superuser: Type.Boolean(),
    disabled: Type.Boolean(),
    failed_logins: Type.Integer({ minimum: 0, maximum: 2_147_483_647 }),
    locked_until: Type.Optional(timestamp()),
    created_at: timestamp(),
    last_login: Type.Optional(timestamp()),
  },
  unique: [['name']],
})

export type UsersDb = Db<[typeof AuthUser]>

/** A user as it is known here; never its password. */
export interface Account {
  readonly id: string
  /** As it is compared: in lower case, NFKC. */
  readonly name: string
  readonly superuser: boolean
  readonly disabled: boolean
  /** Logins without success since the last one with. */
  readonly failed_logins: number
  /** No login before, whatever the password. */
  readonly locked_until: string | null
  readonly created_at: string
  readonly last_login: string | null
}

/** A user, and a digest of what is kept of its password: another as soon as that is another. */
export interface BoundUser {
  readonly user: User
  readonly password: string
}

const SHOWN = AuthUser.columns.filter((name) => name !== 'password') as (keyof Account)[]

/** How long nobody may try after one failure too many, in seconds; then after each further one. */
const WAITS = [30, 60, 120, 240, 480, 900]

const REFUSED = 'the name or the password is wrong, or this user cannot log in now'

/** The users in the table `auth_user`: `app.users`. */
export class UserTable {
  readonly #db: UsersDb
  readonly #passwords: PasswordHashes
  readonly #tries: number

  /** @param tries how many logins may fail before the user has to wait */
  constructor(db: UsersDb, passwords: PasswordHashes, tries: number) {
    this.#db = db
    this.#passwords = passwords
    this.#tries = tries
  }

  /**
   * Whose name and password these are. Each try counts before it is known whether it is right, so that no two at once are one.
   *
   * @throws {PlinthError} UNAUTHENTICATED, the same whatever is wrong; AUTH_UNAVAILABLE where too many log in at once
   */
  async authenticate(name: string, password: string): Promise<User> {
    const known = comparable(name)
    const isTry = await this.#countTry(known)
    const isLong = password.length > PASSWORD.max
    for (let before: string | undefined; ; ) {
      const row = await this.#db
        .selectFrom('auth_user')
        .select(['id', 'name', 'superuser', 'password'])
        .where('name', '=', known)
        .executeTakeFirst()
      const stored = isTry && !isLong ? row?.password : undefined
      const isRight = await this.#passwords.verify(isLong ? '' : password, stored)
      if (!isRight || !row || !stored || stored === before)
        throw errors.UNAUTHENTICATED.with({ errors: [{ path: '', message: REFUSED }] })
      if (await this.#recordLogin(row.id, stored)) {
        if (this.#passwords.isWeak(stored))
          // No reason to refuse who has logged in: the next login tries again.
          await this.#rehash(row.id, stored, password).catch(() => {})
        return userOf(row)
      }
      // Disabled, or kept otherwise meanwhile: perhaps as another password.
      before = stored
    }
  }

  /**
   * @param password default: none, so that nobody logs in by one
   * @throws {PlinthError} INVALID_REQUEST where name or password cannot be; CONFLICT where there is one of that name
   */
  async create(given: { name: string; password?: string; superuser?: boolean }): Promise<Account> {
    const { password, superuser = false } = given
    const name = checkName(given.name)
    const hash = password === undefined ? null : await this.#hash(password, name)
    const id = uuidv7()
    const values = { id, name, superuser, disabled: false, failed_logins: 0 }
    try {
      await this.#here
        .insertInto('auth_user')
        .values({ ...values, password: hash, created_at: new Date() })
        .execute()
    } catch (cause) {
      if (!isUniqueViolation(cause)) throw cause
      throw errors.CONFLICT.with({ cause }, `There is a user ${name} already`)
    }
    return (await this.#read('id', id)) as Account
  }

  /** The user of that name, in whatever case it is written. */
  async find(name: string): Promise<Account | undefined> {
    return await this.#read('name', comparable(name))
  }

  /** All of them, by name. */
  async list(): Promise<Account[]> {
    return await this.#here.selectFrom('auth_user').select(SHOWN).orderBy('name').execute()
  }

  /** Who it is to a service, by its id; undefined where there is none, or it is disabled. */
  async load(id: string): Promise<User | undefined> {
    const found = await this.#read('id', id)
    return found && !found.disabled ? userOf(found) : undefined
  }

  /** The same, and by which password. */
  async loadBound(id: string): Promise<BoundUser | undefined> {
    const found = await this.#here
      .selectFrom('auth_user')
      .select(['id', 'name', 'superuser', 'disabled', 'password'])
      .where('id', '=', id)
      .executeTakeFirst()
    if (!found || found.disabled) return undefined
    return { user: userOf(found), password: hash('sha256', found.password ?? '', 'base64url') }
  }

  /**
   * Gives it another password, and lets it log in at once where it had to wait.
   *
   * @throws {PlinthError} NOT_FOUND; INVALID_REQUEST where it cannot be a password
   */
  async setPassword(id: string, password: string): Promise<void> {
    const found = (await this.#read('id', id)) ?? missing(id)
    const hash = await this.#hash(password, found.name)
    await this.#change(id, { password: hash, failed_logins: 0, locked_until: null })
  }

  /** From now on it does not log in, and its keys are worth nothing. @throws {PlinthError} NOT_FOUND */
  async disable(id: string): Promise<void> {
    await this.#change(id, { disabled: true })
  }

  /** Takes that back, and lets it log in at once where it had to wait. @throws {PlinthError} NOT_FOUND */
  async enable(id: string): Promise<void> {
    await this.#change(id, { disabled: false, failed_logins: 0, locked_until: null })
  }

  /** Logins count for themselves: what a transaction around them takes back would be tries that nobody has counted. */
  get #here(): UsersDb {
    return currentTransaction(this.#db) ?? this.#db
  }

  async #read(by: 'id' | 'name', value: string): Promise<Account | undefined> {
    return await this.#here
      .selectFrom('auth_user')
      .select(SHOWN)
      .where(by, '=', value)
      .executeTakeFirst()
  }

  async #change(
    id: string,
    values: {
      password?: string
      disabled?: boolean
      failed_logins?: number
      locked_until?: null
    },
  ): Promise<void> {
    const { numUpdatedRows } = await this.#here
      .updateTable('auth_user')
      .set(values)
      .where('id', '=', id)
      .executeTakeFirst()
    if (numUpdatedRows === 0n) missing(id)
  }

  async #hash(password: string, name: string): Promise<string> {
    const problem =
      password.length < PASSWORD.min || password.length > PASSWORD.max
        ? `has ${password.length} characters, expected ${PASSWORD.min} to ${PASSWORD.max}`
        : comparable(password) === name && 'is the name of the user'
    if (problem) throw refuse('password', problem)
    return await this.#passwords.hash(password)
  }

  /** One conditional statement, so that of any number at once no more are let through than may be. */
  async #countTry(name: string): Promise<boolean> {
    const now = Date.now()
    const { numUpdatedRows } = await this.#db
      .updateTable('auth_user')
      // In this order: MySQL takes what is set further left as it is then.
      .set({ locked_until: this.#lockedUntil(now) })
      .set(({ eb }) => ({ failed_logins: eb('failed_logins', '+', 1) }))
      .where('name', '=', name)
      .where('disabled', '=', false)
      .where('password', 'is not', null)
      .where(({ eb, or }) =>
        or([eb('locked_until', 'is', null), eb('locked_until', '<=', instant(new Date(now)))]),
      )
      .executeTakeFirst()
    return numUpdatedRows === 1n
  }

  /** Should this try fail, too. */
  #lockedUntil(now: number): RawBuilder<Date | null> {
    const last = this.#tries - 1
    const after = WAITS.map((seconds) => new Date(now + seconds * 1000))
    const cases = after
      .slice(0, -1)
      .map((until, i) => sql`when ${sql.ref('failed_logins')} = ${last + i} then ${until}`)
    return sql`case when ${sql.ref('failed_logins')} < ${last} then null ${sql.join(cases, sql` `)} else ${after.at(-1)} end`
  }

  /** @returns whether it may: it may have been disabled, or have got another password, meanwhile */
  async #recordLogin(id: string, stored: string): Promise<boolean> {
    const { numUpdatedRows } = await this.#db
      .updateTable('auth_user')
      .set({ failed_logins: 0, locked_until: null, last_login: new Date() })
      .where('id', '=', id)
      .where('disabled', '=', false)
      .where('password', '=', stored)
      .executeTakeFirst()
    return numUpdatedRows === 1n
  }

  /** Only now is the password known; it may have been changed meanwhile. */
  async #rehash(id: string, stored: string, password: string): Promise<void> {
    await this.#db
      .updateTable('auth_user')
      .set({ password: await this.#passwords.hash(password) })
      .where('id', '=', id)
      .where('password', '=', stored)
      .execute()
  }
}

function userOf({ id, name, superuser }: Pick<Account, 'id' | 'name' | 'superuser'>): User {
  return { id, name, ...(superuser && { superuser }) }
}

/** What names are compared by: nobody is called like somebody else but for the case. One that is too long is nobody's. */
function comparable(name: string): string {
  return name.length > MAX_NAME ? '' : name.normalize('NFKC').toLowerCase()
}

function checkName(given: string): string {
  const name = comparable(given)
  if (/^[^\s\p{C}:]{1,150}$/u.test(name)) return name
  throw refuse('name', `expected 1 to ${MAX_NAME} characters, without spaces and colons`)
}

function refuse(path: string, message: string) {
  return errors.INVALID_REQUEST.with({ errors: [{ path: `/${path}`, message }] }, 'app.users')
}

function missing(id: string): never {
  throw errors.NOT_FOUND('user', id)
}
