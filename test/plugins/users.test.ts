import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import bearer from '../../plugins/bearer.ts'
import database from '../../plugins/database.ts'
import session from '../../plugins/session.ts'
import users, { loadUser, type UsersOptions } from '../../plugins/users.ts'
import type { ApiKeysDb } from '../../src/auth/api-keys.ts'
import { PasswordHashes } from '../../src/auth/password-hashes.ts'
import { hasScope, isSuperuser } from '../../src/auth/permission.ts'
import { createMigrator } from '../../src/database/migration/migrator.ts'
import { withoutModels } from '../../src/database/model/query/hide.ts'
import type { ServiceDefinition } from '../../src/define-service.ts'
import { foldersOf } from '../../src/kit.ts'
import { measurePlugins } from '../../src/plugin-metrics.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createApp } from '../../src/service.ts'
import { seconds, sign } from '../auth/tokens.ts'
import { failure } from '../helpers/app.ts'
import { databaseDrivers } from '../helpers/drivers.ts'
import { ask, listen } from '../helpers/wire.ts'

const PASSWORD = 'correct horse'
const SECRET = 'a secret that is long enough for 256 bits'
const Who = Type.Object({
  id: Type.String(),
  name: Type.Optional(Type.String()),
  superuser: Type.Optional(Type.Boolean()),
})

const login = defineResource({
  summary: 'Log in',
  method: 'POST',
  path: '/login',
  auth: 'public',
  request: Type.Object({ name: Type.String(), password: Type.String() }),
  response: Who,
  perform: async ({ name, password }, { app }) => await app.users.authenticate(name, password),
})
const me = defineResource({
  summary: 'Who asks',
  path: '/me',
  auth: 'required',
  async: true,
  method: 'POST',
  response: Who,
  perform: (_, { user }) => user as { id: string },
})
const read = defineResource({
  summary: 'Read',
  path: '/read',
  permissions: hasScope('read'),
  perform: () => null,
})
const look = defineResource({
  summary: 'Look after',
  path: '/look',
  permissions: isSuperuser,
  perform: () => null,
})

/** A process of a service with users, and how clients reach it. */
async function start(t: Test, url: string, options: UsersOptions = {}) {
  const service: ServiceDefinition = {
    name: 'desk',
    auth: true,
    loadUser,
    modules: { desk: defineModule({ prefix: '', resources: { login, me, read, look } }) },
    plugins: [bearer({ key: SECRET, audience: false }), users({ cost: 10, ...options })],
  }
  const app = (await createApp(service, {
    root: import.meta.dirname,
    env: { NODE_ENV: 'test', DATABASE_URL: url },
    logger: false,
  })) as unknown as FastifyInstance
  t.teardown(() => app.close())
  const plugins = foldersOf(service, 'migrations')
  const directory = `${import.meta.dirname}/none`
  await createMigrator({ db: withoutModels(app.db), directory, plugins }).migrate()
  const port = await listen(app)
  const db = app.db as unknown as ApiKeysDb
  return {
    app,
    db,
    row: (name = 'ann') =>
      db.selectFrom('auth_user').selectAll().where('name', '=', name).executeTakeFirstOrThrow(),
    async logIn(name: string, password: string) {
      const body = JSON.stringify({ name, password })
      return await ask(port, 'POST /login', { 'content-type': 'application/json' }, body)
    },
    get: (path: string, headers: Record<string, string>) => ask(port, `GET ${path}`, headers),
    me: (headers: Record<string, string>) => ask(port, 'POST /me', headers),
    key: (key: string) => ask(port, 'POST /me', { authorization: `Bearer ${key}` }),
  }
}

type Started = Awaited<ReturnType<typeof start>>

async function hashesOf(app: FastifyInstance): Promise<unknown> {
  const found = await measurePlugins(app, 1000)
  return found.find(({ name }) => name === 'users_password_hashes_total')?.values[0]?.value
}

const unlock = ({ db }: Started) =>
  db
    .updateTable('auth_user')
    .set({ locked_until: new Date(Date.now() - 1000) })
    .execute()

/** Seconds from now, to the nearest. */
const secondsTo = (time: string | null) => Math.round((Date.parse(time ?? '') - Date.now()) / 1000)

for (const { name: driver, url } of databaseDrivers) {
  const on = (name: string, test: (t: Test, url: string) => Promise<void>) =>
    t.test(`${name} (${driver})`, async (t) => await test(t, await url(t)))

  on('a name and a password tell who it is, whatever the case of the name', async (t, url) => {
    const desk = await start(t, url)
    const { id } = await desk.app.users.create({ name: 'Ann', password: PASSWORD })
    const answer = await desk.logIn('ANN', PASSWORD)
    t.strictSame([answer.status, answer.json().data], [200, { id, name: 'ann' }])
    const row = await desk.row()
    t.match(row, { name: 'ann', failed_logins: 0, locked_until: null, disabled: false })
    t.ok(Math.abs(secondsTo(row.last_login)) < 30)
    t.match(row.password, /^\$scrypt\$ln=10,r=8,p=3\$/)
    const found = await desk.app.users.find('aNN')
    t.match(found, { id, name: 'ann', superuser: false })
    t.notOk('password' in (found as object))
  })

  on('whatever is wrong, the answer is the same, and so is the work', async (t, url) => {
    const desk = await start(t, url)
    const { app } = desk
    await app.users.create({ name: 'ann', password: PASSWORD })
    await app.users.create({ name: 'system' })
    await app.users.disable((await app.users.create({ name: 'old', password: PASSWORD })).id)
    await app.users.create({ name: 'locked', password: PASSWORD })
    await desk.db
      .updateTable('auth_user')
      .set({ locked_until: new Date(Date.now() + 60_000) })
      .where('name', '=', 'locked')
      .execute()
    const seen = new Set<string>()
    for (const [name, password] of [
      ['ann', 'wrong'],
      ['ann', ''],
      ['ann', 'x'.repeat(1_000_000)],
      ['nobody', PASSWORD],
      ['n'.repeat(1_000_000), PASSWORD],
      ['', PASSWORD],
      ["' or 1=1 --", PASSWORD],
      ['system', ''],
      ['old', PASSWORD],
      ['locked', PASSWORD],
    ] as const) {
      const before = await hashesOf(app)
      const { status, headers, json } = await desk.logIn(name, password)
      t.equal(status, 401, name.slice(0, 20))
      t.equal(await hashesOf(app), Number(before) + 1, 'one password was checked')
      seen.add(
        JSON.stringify({
          ...json(),
          request_id: null,
          trace_id: null,
          ...headers,
          date: '',
          'x-request-id': '',
        }),
      )
    }
    t.equal(seen.size, 1, [...seen].join('\n'))
    t.notMatch([...seen][0], /\bann\b|nobody/)
    t.match(await desk.row(), { failed_logins: 3, last_login: null })
    t.match(await desk.row('old'), { failed_logins: 0 })
  })

  on('after some failures nobody is let in for a while, and each time longer', async (t, url) => {
    const desk = await start(t, url, { tries: 3 })
    await desk.app.users.create({ name: 'ann', password: PASSWORD })
    for (const failed of [1, 2, 3]) {
      t.equal((await desk.logIn('ann', 'wrong')).status, 401)
      t.match(await desk.row(), {
        failed_logins: failed,
        ...(failed < 3 && { locked_until: null }),
      })
    }
    const times: number[] = []
    for (let i = 0; i < 7; i++) {
      const { locked_until } = await desk.row()
      times.push(Math.ceil(secondsTo(locked_until) / 10) * 10)
      t.equal((await desk.logIn('ann', PASSWORD)).status, 401, 'the right one, too')
      t.equal(
        (await desk.row()).locked_until,
        locked_until,
        'who asks meanwhile makes it no longer',
      )
      await unlock(desk)
      t.equal((await desk.logIn('ann', 'wrong')).status, 401)
    }
    t.strictSame(times, [30, 60, 120, 240, 480, 900, 900])
    t.equal((await desk.row()).failed_logins, 10)
    await unlock(desk)
    t.equal((await desk.logIn('ann', PASSWORD)).status, 200)
    t.match(await desk.row(), { failed_logins: 0, locked_until: null })
  })

  on('logins at once, in two processes, are no more tries', async (t, url) => {
    const desks = [await start(t, url, { tries: 3 }), await start(t, url, { tries: 3 })]
    const [desk] = desks as [Started]
    await desk.app.users.create({ name: 'ann', password: PASSWORD })
    const flood = desks.flatMap((one) => Array.from({ length: 6 }, () => one.logIn('ann', 'wrong')))
    t.strictSame([...new Set((await Promise.all(flood)).map(({ status }) => status))], [401])
    t.equal((await desk.row()).failed_logins, 3)
    await unlock(desk)
    const last = await Promise.all(
      desks.flatMap((one) => [one, one].map((one) => one.logIn('ann', 'wrong'))),
    )
    t.strictSame([...new Set(last.map(({ status }) => status))], [401])
    t.equal((await desk.row()).failed_logins, 4, 'one of four was a try')
    t.equal((await desk.logIn('ann', PASSWORD)).status, 401)
  })

  on('who has logged in by a password that is another by then has not', async (t, url) => {
    const { app, logIn } = await start(t, url)
    const { id } = await app.users.create({ name: 'ann', password: PASSWORD })
    const verify = PasswordHashes.prototype.verify
    let changes = 1
    t.intercept(PasswordHashes.prototype, 'verify', {
      async value(this: PasswordHashes, ...given: Parameters<typeof verify>) {
        const isRight = await verify.apply(this, given)
        if (changes-- === 1) await app.users.setPassword(id, 'another horse')
        return isRight
      },
    })
    t.equal((await logIn('ann', PASSWORD)).status, 401)
    t.equal((await logIn('ann', 'another horse')).status, 200)
    changes = 1
    t.equal((await logIn('ann', 'another horse')).status, 200, 'kept otherwise, it is the same')
  })

  on('a hash that is weaker than those of today is made anew at login', async (t, url) => {
    const [weak, strong] = [await start(t, url), await start(t, url, { cost: 11 })]
    await weak.app.users.create({ name: 'ann', password: PASSWORD })
    const { password } = await weak.row()
    t.equal((await strong.logIn('ann', 'wrong')).status, 401)
    t.equal((await strong.row()).password, password)
    const both = await Promise.all([strong.logIn('ann', PASSWORD), strong.logIn('ann', PASSWORD)])
    t.strictSame(
      both.map(({ status }) => status),
      [200, 200],
    )
    const made = (await strong.row()).password
    t.match(made, /^\$scrypt\$ln=11,/)
    t.equal((await weak.logIn('ann', PASSWORD)).status, 200)
    t.equal((await weak.row()).password, made, 'and never weaker')
  })

  on('who is disabled, or has another password, is known as such at once', async (t, url) => {
    const desk = await start(t, url, { tries: 1 })
    const { users } = desk.app
    const { id } = await users.create({ name: 'ann', password: PASSWORD })
    const { key } = await users.keys.create({ user: id, name: 'k' })
    t.equal((await desk.key(key)).status, 200)
    await users.disable(id)
    t.equal((await desk.key(key)).status, 401)
    t.equal((await desk.logIn('ann', PASSWORD)).status, 401)
    t.equal(await users.load(id), undefined)
    await users.enable(id)
    t.equal((await desk.key(key)).status, 200)
    t.strictSame(await users.load(id), { id, name: 'ann' })
    t.equal((await desk.logIn('ann', 'wrong')).status, 401)
    await users.setPassword(id, 'another horse')
    t.equal((await desk.logIn('ann', 'another horse')).status, 200, 'nor has it to wait')
    t.equal((await desk.logIn('ann', PASSWORD)).status, 401)
  })

  on('names and passwords that cannot be are refused, and nothing is stored', async (t, url) => {
    const { app, db } = await start(t, url)
    const { users } = app
    const refused = async (name: string, password?: string) =>
      await failure(users.create({ name, ...(password !== undefined && { password }) }))
    for (const name of ['', ' ', 'a b', 'a:b', 'a\0', 'a\u200bb', 'a\nb', 'a'.repeat(151)])
      t.match(await refused(name), { code: 'INVALID_REQUEST', errors: [{ path: '/name' }] }, name)
    for (const password of ['', 'seven77', 'x'.repeat(1025), 'x'.repeat(1_000_000), 'LongName'])
      t.match(await refused('longname', password), {
        code: 'INVALID_REQUEST',
        errors: [{ path: '/password' }],
      })
    const { id } = await users.create({ name: 'jose' })
    await users.create({ name: 'jos\u00e9' })
    t.match(await refused('Jose\u0301'), {
      code: 'CONFLICT',
      message: 'There is a user jos\u00e9 already',
    })
    t.match(await refused('\uff2aOSE'), { code: 'CONFLICT' })
    t.match(await failure(users.setPassword(id, 'short')), { code: 'INVALID_REQUEST' })
    for (const change of [
      () => users.disable('7'),
      () => users.enable('7'),
      () => users.setPassword('7', PASSWORD),
    ])
      t.match(await failure(change()), { code: 'NOT_FOUND' })
    t.match(
      await failure(users.keys.create({ user: '0199d3a2-6f0e-7c1b-9d54-3f1c2b7a8e90', name: 'k' })),
      { code: 'NOT_FOUND' },
    )
    t.strictSame(
      (await users.list()).map(({ name }) => name),
      ['jose', 'jos\u00e9'],
    )
    t.strictSame(await db.selectFrom('auth_token').selectAll().execute(), [])
  })

  on('a key is good in either header, beside JSON Web Tokens', async (t, url) => {
    const desk = await start(t, url)
    const { users } = desk.app
    const { id } = await users.create({ name: 'billing' })
    const { key, ...made } = await users.keys.create({ user: id, name: 'nightly' })
    t.match(key, /^plinth_[0-9a-f]{32}_[\w-]{43}$/)
    const who = { id, name: 'billing' }
    for (const headers of [
      { authorization: `Bearer ${key}` },
      { authorization: `bearer  ${key}` },
      { 'x-api-key': key },
    ])
      t.match((await desk.me(headers)).json().data, who)
    const jwt = sign({ alg: 'HS256' }, { sub: 'carl', exp: seconds(60) }, SECRET)
    t.match((await desk.key(jwt)).json().data, { id: 'carl' })
    const { digest, ...row } = await desk.db
      .selectFrom('auth_token')
      .selectAll()
      .executeTakeFirstOrThrow()
    t.match(digest, /^[0-9a-f]{64}$/)
    t.notMatch(key, digest)
    t.match(row, { ...made, name: 'nightly', scopes: null, expires_at: null, revoked_at: null })
    t.match(await users.keys.list(id), [{ id: made.id }])
    t.strictSame(await users.keys.list('7'), [])
  })

  on('a key that is wrong, has expired, or was revoked is 401', async (t, url) => {
    const desk = await start(t, url)
    const { users } = desk.app
    const { id } = await users.create({ name: 'billing' })
    const { key } = await users.keys.create({ user: id, name: 'good' })
    const other = await users.keys.create({ user: id, name: 'other' })
    const revoked = await users.keys.create({ user: id, name: 'revoked' })
    const expired = await users.keys.create({
      user: id,
      name: 'expired',
      expires: new Date(Date.now() - 1),
    })
    const later = await users.keys.create({
      user: id,
      name: 'later',
      expires: new Date(Date.now() + 60_000),
    })
    await users.keys.revoke(revoked.id)
    t.match(await failure(users.keys.revoke(revoked.id)), { code: 'NOT_FOUND' })
    t.equal((await desk.key(later.key)).status, 200)
    const secret = key.slice(-43)
    const wrong = secret.startsWith('A') ? `B${secret.slice(1)}` : `A${secret.slice(1)}`
    for (const [bad, why] of [
      [expired.key, 'the key has expired'],
      [revoked.key, 'the key was revoked'],
      [key.slice(0, -43) + wrong, 'the key is not known here'],
      [other.key.slice(0, -43) + secret, 'the key is not known here'],
      [revoked.key.slice(0, -43) + secret, 'the key is not known here'],
      [key.slice(0, -1), 'the key is not known here'],
      [`${key}x`, 'the key is not known here'],
      [`plinth_${'0'.repeat(32)}_${secret}`, 'the key is not known here'],
      ['plinth_', 'the key is not known here'],
    ] as const) {
      const { status, headers, json } = await desk.key(bad)
      t.equal(status, 401)
      t.match(json().errors, [{ message: why }])
      t.equal(headers['www-authenticate'], 'Bearer')
    }
    t.equal((await desk.me({ 'x-api-key': 'another kind' })).status, 401)
    t.equal((await desk.me({})).headers['www-authenticate'], 'Bearer')
  })

  on('a key may do what its scopes say, and superusers what is theirs', async (t, url) => {
    const desk = await start(t, url)
    const { users } = desk.app
    const { id } = await users.create({ name: 'ann' })
    const root = await users.create({ name: 'root', superuser: true })
    const keyOf = async (user: string, scopes?: string[]) =>
      (await users.keys.create({ user, name: 'k', ...(scopes && { scopes }) })).key
    const keys = [
      await keyOf(id),
      await keyOf(id, ['read', 'x']),
      await keyOf(id, ['write']),
      await keyOf(id, []),
      await keyOf(root.id),
      await keyOf(root.id, ['read']),
    ]
    const statuses = async (path: string) =>
      await Promise.all(
        keys.map(async (key) => (await desk.get(path, { 'x-api-key': key })).status),
      )
    t.strictSame(await statuses('/read'), [200, 200, 403, 403, 200, 200])
    t.strictSame(await statuses('/look'), [403, 403, 403, 403, 200, 403])
  })

  on('when a key was used is written down once a minute, whatever the process', async (t, url) => {
    const desk = await start(t, url)
    const { id } = await desk.app.users.create({ name: 'ann' })
    const { key } = await desk.app.users.keys.create({ user: id, name: 'k' })
    const lastUse = async ({ db }: Started) =>
      (await db.selectFrom('auth_token').select('last_used_at').executeTakeFirstOrThrow())
        .last_used_at
    t.equal(await lastUse(desk), null)
    await Promise.all([desk.key(key), desk.key(key)])
    await desk.app.close()
    const next = await start(t, url)
    const first = await lastUse(next)
    t.ok(Math.abs(secondsTo(first)) < 30)
    const recent = new Date(Date.now() - 50_000)
    await next.db.updateTable('auth_token').set({ last_used_at: recent }).execute()
    t.equal((await next.key(key)).status, 200)
    await next.app.close()
    const third = await start(t, url)
    t.equal(await lastUse(third), recent.toISOString())
    await third.db
      .updateTable('auth_token')
      .set({ last_used_at: new Date(Date.now() - 61_000) })
      .execute()
    t.equal((await third.key(key)).status, 200)
    await third.app.close()
    const last = await start(t, url)
    t.ok(Math.abs(secondsTo(await lastUse(last))) < 30)
  })

  on('it works in a Fastify app that is no service', async (t, url) => {
    await (await start(t, url)).app.close()
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(database, { url })
    await app.register(users, { cost: 10 })
    app.get('/me', { onRequest: app.auth.required }, (request) => request.auth)
    const { id } = await app.users.create({ name: 'ann', password: PASSWORD, superuser: true })
    t.strictSame(await app.users.authenticate('ann', PASSWORD), {
      id,
      name: 'ann',
      superuser: true,
    })
    const { key, id: token } = await app.users.keys.create({ user: id, name: 'k', scopes: ['a'] })
    const port = await listen(app)
    const { body } = await ask(port, 'GET /me', { 'x-api-key': key })
    t.strictSame(JSON.parse(body), {
      user: { id, name: 'ann', superuser: false },
      token,
      scopes: ['a'],
      strategy: 'token',
    })
    t.equal((await ask(port, 'GET /me', { 'x-api-key': `${key}x` })).status, 401)
  })

  on('a session ends with the password that it began with, and with its user', async (t, url) => {
    await (await start(t, url)).app.close()
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(database, { url })
    await app.register(users, { cost: 10 })
    await app.register(session, { secret: SECRET, users: true })
    app.get('/me', { onRequest: app.auth.required }, (request) => request.auth?.user)
    app.post('/login/:id', async ({ params }, reply) => {
      await reply.login(params as { id: string })
      return 'in'
    })
    const port = await listen(app)
    const logIn = async (id: string) => {
      const answer = await ask(port, `POST /login/${id}`, { 'sec-fetch-site': 'same-origin' })
      const [Cookie = ''] = answer.headers['set-cookie']?.split(';') ?? []
      return { status: answer.status, Cookie }
    }
    const who = async ({ Cookie }: { Cookie: string }) => {
      const { status, body } = await ask(port, 'GET /me', { Cookie })
      return status === 200 ? JSON.parse(body) : status
    }
    const { id } = await app.users.create({ name: 'ann', password: PASSWORD })
    const other = await app.users.create({ name: 'bob', password: PASSWORD })
    const bob = await logIn(other.id)
    const [first, second] = [await logIn(id), await logIn(id)]
    t.strictSame(await who(first), { id, name: 'ann' })
    await app.users.setPassword(id, 'another password')
    t.strictSame([await who(first), await who(second)], [401, 401])
    t.strictSame(await who(bob), { id: other.id, name: 'bob' })
    const third = await logIn(id)
    t.strictSame(await who(third), { id, name: 'ann' })
    await app.users.disable(id)
    t.equal(await who(third), 401)
    t.strictSame(await logIn(id), { status: 401, Cookie: '' })
    t.strictSame(await logIn('nobody'), { status: 401, Cookie: '' })
    await app.users.enable(id)
    t.strictSame(await who(third), { id, name: 'ann' }, 'the user is one again')
  })

  on('a task runs for a user as it is when it runs', async (t, url) => {
    const desk = await start(t, url)
    const { users } = desk.app
    const { id } = await users.create({ name: 'ann', superuser: true })
    const { key } = await users.keys.create({ user: id, name: 'k' })
    const { status, json } = await desk.me({ 'x-api-key': key, 'x-async-task': '1' })
    t.equal(status, 200)
    const { task_id } = json().data as { task_id: string }
    t.strictSame(await desk.app.tasks.result(task_id), { id, name: 'ann', superuser: true })
    await users.disable(id)
    const late = await desk.app.run(() => me.enqueue({}, { user: id }))
    t.match(await failure(late.result()), { message: /loadUser knows none/ })
  })
}

t.test('it needs a database, has one name, and says what its options have to be', async (t) => {
  const refused = async (options: UsersOptions & { name?: string }) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(database, { url: 'sqlite::memory:' })
    return await failure(app.register(users, options) as unknown as Promise<unknown>)
  }
  t.match(await refused({ cost: 9 }), { code: 'PLUGIN_OPTION_INVALID', message: /cost is 9/ })
  t.match(await refused({ cost: 21 }), { code: 'PLUGIN_OPTION_INVALID' })
  t.match(await refused({ tries: 0 }), { code: 'PLUGIN_OPTION_INVALID', message: /tries is 0/ })
  t.match(await refused({ name: 'people' }), { code: 'PLUGIN_INVALID' })
  const bare = Fastify()
  t.teardown(() => bare.close())
  t.match(await failure(bare.register(users) as unknown as Promise<unknown>), {
    code: 'PLUGIN_MISSING',
  })
})
