import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { secret } from '../config/secret.ts'
import { currentTransaction } from '../database/current-transaction.ts'
import { defineModel } from '../database/model/define.ts'
import { uuidv7 } from '../database/model/query/fill.ts'
import { timestamp } from '../database/model/schemas.ts'
import type { Db } from '../database/model/types.ts'
import { prepareQuery } from '../database/prepared.ts'
import type { Database } from '../database/types.ts'
import { isForeignKeyViolation } from '../database/violations.ts'
import { errors, type PlinthError } from '../errors.ts'
import type { Authenticated, Strategy } from './authenticator.ts'
import type { AuthUser } from './users.ts'

export const AuthToken = defineModel('auth_token', {
  columns: {
    id: Type.String({ format: 'uuid' }),
    user_id: Type.String({ format: 'uuid' }),
    name: Type.String({ maxLength: 100 }),
    digest: secret(Type.String({ maxLength: 64 })),
    scopes: Type.Optional(Type.Array(Type.String())),
    created_at: timestamp(),
    expires_at: Type.Optional(timestamp()),
    last_used_at: Type.Optional(timestamp()),
    revoked_at: Type.Optional(timestamp()),
  },
  foreignKeys: { user_id: { references: 'auth_user.id', onDelete: 'cascade' } },
})

export type ApiKeysDb = Db<[typeof AuthUser, typeof AuthToken]>

/** What is known of a key: all but the key. */
export interface ApiKey {
  readonly id: string
  readonly user_id: string
  /** What it is for; people tell keys apart by it. */
  readonly name: string
  /** What it is limited to; null: to nothing. */
  readonly scopes: readonly string[] | null
  readonly created_at: string
  readonly expires_at: string | null
  /** To the minute. */
  readonly last_used_at: string | null
  readonly revoked_at: string | null
}

const SHOWN = AuthToken.columns.filter((name) => name !== 'digest') as (keyof ApiKey)[]

/** How old `last_used_at` may be, and how long uses are gathered, in ms. */
const FRESH = 60_000
const GATHER = 1000

/** The id of the row, without its dashes, and the secret: 256 random bits, of which a plain digest gives nothing away. */
const KEY =
  /^plinth_([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})_([\w-]{43})$/

/** Asked for each request with a key, so it is built once. */
const findKey = prepareQuery((db, id: string) =>
  (db as unknown as ApiKeysDb)
    .selectFrom('auth_token')
    .innerJoin('auth_user', 'auth_user.id', 'auth_token.user_id')
    .select(['auth_token.id', 'user_id', 'digest', 'scopes', 'expires_at', 'last_used_at'])
    .select(['revoked_at', 'auth_user.name as user', 'superuser', 'disabled'])
    .where('auth_token.id', '=', id),
)

/** The API keys in the table `auth_token`: `app.users.keys`. */
export class ApiKeys {
  readonly #db: ApiKeysDb
  readonly #log: FastifyBaseLogger
  readonly #used = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  constructor(db: ApiKeysDb, log: FastifyBaseLogger) {
    this.#db = db
    this.#log = log
  }

  /**
   * Makes one for a user, and gives the `key`, which nothing keeps and nobody can be told again.
   *
   * @param expires default: never
   * @param scopes what `hasScope` finds; default: it may do all that its user may
   * @throws {PlinthError} NOT_FOUND where there is no such user
   */
  async create(given: {
    user: string
    name: string
    scopes?: readonly string[]
    expires?: Date
  }): Promise<ApiKey & { readonly key: string }> {
    const { user, name, scopes, expires = null } = given
    const id = uuidv7()
    const secret = randomBytes(32).toString('base64url')
    const row = { id, user_id: user, name, digest: digestOf(secret), created_at: new Date() }
    try {
      await this.#here
        .insertInto('auth_token')
        .values({ ...row, scopes: scopes ? [...scopes] : null, expires_at: expires })
        .execute()
    } catch (cause) {
      throw isForeignKeyViolation(cause) ? errors.NOT_FOUND('user', user) : cause
    }
    const made = (await this.#select().where('id', '=', id).executeTakeFirst()) as ApiKey
    return { ...made, key: `plinth_${id.replaceAll('-', '')}_${secret}` }
  }

  /** Those of a user, or all, in the order in which they were made. */
  async list(user?: string): Promise<ApiKey[]> {
    const all = this.#select().orderBy('id')
    return await (user === undefined ? all : all.where('user_id', '=', user)).execute()
  }

  /** From now on it is worth nothing. @throws {PlinthError} NOT_FOUND where there is none, or it was revoked before */
  async revoke(id: string): Promise<void> {
    const { numUpdatedRows } = await this.#here
      .updateTable('auth_token')
      .set({ revoked_at: new Date() })
      .where('id', '=', id)
      .where('revoked_at', 'is', null)
      .executeTakeFirst()
    if (numUpdatedRows === 0n) throw errors.NOT_FOUND('key', id)
  }

  /**
   * Whose key it is. Nothing is kept from one request to the next: what is revoked or disabled is so at once, in all processes.
   *
   * @throws {PlinthError} UNAUTHENTICATED, whose `errors` say why to whoever has a key that was right once
   */
  async verify(key: string): Promise<Authenticated> {
    const [, a, b, c, d, e, secret] = KEY.exec(key) ?? []
    if (secret === undefined) throw refuseKey('is not known here')
    const [row] = await findKey(this.#db as unknown as Database, `${a}-${b}-${c}-${d}-${e}`)
    const digest = Buffer.from(digestOf(secret))
    // A digest that no secret has where there is no such row.
    const isRight = timingSafeEqual(digest, Buffer.from(row?.digest ?? '-'.repeat(64)))
    if (!row || !isRight) throw refuseKey('is not known here')
    if (row.revoked_at !== null) throw refuseKey('was revoked')
    if (row.expires_at !== null && Date.parse(row.expires_at) <= Date.now())
      throw refuseKey('has expired')
    if (row.disabled) throw refuseKey('is of a user who is disabled')
    if (row.last_used_at === null || Date.parse(row.last_used_at) + FRESH <= Date.now())
      this.#noteUse(row.id)
    return {
      user: {
        id: row.user_id,
        name: row.user,
        ...(row.superuser && { superuser: true }),
        // What is limited to something is not good for everything.
        ...(row.scopes && { superuser: false }),
      },
      token: row.id,
      ...(row.scopes && { scopes: row.scopes }),
    }
  }

  /** Writes down what was used and is not yet written. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#writeUses()
  }

  get #here(): ApiKeysDb {
    return currentTransaction(this.#db) ?? this.#db
  }

  #select() {
    return this.#here.selectFrom('auth_token').select(SHOWN)
  }

  // No request waits for it: those of a second are one statement.
  #noteUse(id: string): void {
    this.#used.add(id)
    this.#timer ??= setTimeout(() => this.#writeUses(), GATHER).unref()
  }

  async #writeUses(): Promise<void> {
    this.#timer = undefined
    const ids = [...this.#used]
    this.#used.clear()
    if (ids.length === 0) return
    try {
      await this.#db
        .updateTable('auth_token')
        .set({ last_used_at: new Date() })
        .where('id', 'in', ids)
        .execute()
    } catch (err) {
      this.#log.warn({ err }, 'when keys were used could not be written down')
    }
  }
}

function digestOf(secret: string): string {
  return hash('sha256', secret)
}

function refuseKey(reason: string): PlinthError {
  return errors.UNAUTHENTICATED.with({ errors: [{ path: '', message: `the key ${reason}` }] })
}

/** The headers `Authorization: Bearer plinth_…` and `X-Api-Key: plinth_…`; what begins otherwise is for others. */
export function apiKeyStrategy(name: string, keys: ApiKeys): Strategy {
  return {
    name,
    scheme: {
      type: 'http',
      scheme: 'bearer',
      bearerFormat: 'plinth_…',
      description: 'An API key; it may come in the header X-Api-Key, too.',
    },
    challenge: 'Bearer',
    authenticate({ headers }) {
      const key = keyOf(headers)
      return key === undefined ? undefined : keys.verify(key)
    },
  }
}

function keyOf({ authorization, 'x-api-key': other }: FastifyRequest['headers']) {
  const key = /^bearer +(.*)$/i.exec(authorization ?? '')?.[1] ?? other
  return typeof key === 'string' && key.startsWith('plinth_') ? key : undefined
}
