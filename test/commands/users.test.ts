import Fastify from 'fastify'
import t, { type Test } from 'tap'
import database from '../../plugins/database.ts'
import type { ApiKeysDb } from '../../src/auth/api-keys.ts'
import { PasswordHashes } from '../../src/auth/password-hashes.ts'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'
import { onEveryDatabase, onSqlite, type Shop } from './database-service.ts'

const FILES = {
  'src/service.ts': `
import { defineService } from 'plinth'
import users from 'plinth/plugins/users'
export default defineService({ name: 'shop', modules: {}, plugins: [users({ cost: 10 })] })`,
}
const PASSWORD = 'correct horse'

async function rowsIn(t: Test, url: string) {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(database, { url })
  const db = app.db as unknown as ApiKeysDb
  return {
    user: (name: string) =>
      db.selectFrom('auth_user').selectAll().where('name', '=', name).executeTakeFirst(),
    tokens: () => db.selectFrom('auth_token').selectAll().execute(),
  }
}

/** Runs a command that reads `input` as its stdin. */
const withInput = (t: Test, { service, url }: Shop, input: string, ...args: string[]) =>
  manage(t, args, { service, env: { DATABASE_URL: url, DATABASE_SLOW_QUERY: '0' }, input })

const isPassword = async (password: string, known: string | null | undefined) =>
  await new PasswordHashes(10).verify(password, known)

onEveryDatabase(t, 'users are created, changed and listed', FILES, async (t, shop) => {
  const { run, url } = shop
  t.match(await run('migrate'), { code: 0, stdout: /^applied users\/0001_create_auth_user / })
  t.match(await run('user', 'list'), { code: 0, stdout: 'there are no users\n' })
  const made = await withInput(t, shop, `${PASSWORD}\n`, 'user', 'create', 'Ann', '--superuser')
  t.match(made, { code: 0, stdout: 'created ann\n', stderr: '' })
  const system = await run('user', 'create', 'billing', '--no-password', '--json')
  const { id } = JSON.parse(system.stdout)
  const { user } = await rowsIn(t, url)
  const ann = await user('ann')
  t.match(ann, { superuser: true, disabled: false })
  t.equal(await isPassword(PASSWORD, ann?.password), true)
  t.match(await user('billing'), { id, password: null, superuser: false })
  t.match(await run('user', 'disable', 'billing'), { code: 0, stdout: 'disabled billing\n' })
  t.match(await user('billing'), { disabled: true })
  const { stdout } = await run('user', 'list')
  t.match(stdout, /^name +id +last login\nann +[\w-]{36} +never +superuser\nbilling .* disabled\n$/)
  const listed = await run('user', 'list', '--json')
  t.match(JSON.parse(listed.stdout), [{ name: 'ann' }, { name: 'billing', id }])
  t.notMatch(listed.stdout, /scrypt|"password"/)
  t.match(await run('user', 'enable', 'BILLING'), { code: 0, stdout: 'enabled billing\n' })
  t.match(await user('billing'), { disabled: false })
  const changed = await withInput(t, shop, 'another horse\r\nmore\n', 'user', 'passwd', 'ann')
  t.match(changed, { code: 0, stdout: 'changed the password of ann\n', stderr: '' })
  t.equal(await isPassword('another horse', (await user('ann'))?.password), true)
})

onEveryDatabase(t, 'keys are created, listed and revoked', FILES, async (t, { run, url }) => {
  await run('migrate')
  await run('user', 'create', 'billing', '--no-password')
  const flags = ['--name', 'nightly', '--scope', 'read', '--scope', 'write', '--days', '2']
  const made = await run('token', 'create', 'billing', ...flags)
  t.match(made, { code: 0, stdout: /^plinth_[0-9a-f]{32}_[\w-]{43}\n$/ })
  t.notMatch(made.stderr, made.stdout.trim().slice(-43))
  const json = JSON.parse((await run('token', 'create', 'billing', '--name', 'b', '--json')).stdout)
  t.match(json, { name: 'b', scopes: null, expires_at: null, key: /^plinth_/ })
  const { tokens } = await rowsIn(t, url)
  const [first, second] = await tokens()
  t.match(first, { name: 'nightly', scopes: ['read', 'write'], revoked_at: null })
  const days = (Date.parse(first?.expires_at ?? '') - Date.now()) / 86_400_000
  t.ok(days > 1.9 && days <= 2)
  t.equal(second?.id, json.id)
  const listed = await run('token', 'list', 'billing')
  t.match(
    listed.stdout,
    /^id +user .*\n[\w-]{36} +billing +nightly +read write +never +until .*\n.* all +never\n$/,
  )
  t.match(await run('token', 'revoke', json.id), { code: 0, stdout: `revoked ${json.id}\n` })
  t.ok((await tokens())[1]?.revoked_at)
  t.match(await run('token', 'revoke', json.id), { code: 1, stderr: /^error NOT_FOUND/ })
  const all = await run('token', 'list', '--json')
  t.match(JSON.parse(all.stdout), [{ user: 'billing', revoked_at: null }, { revoked_at: /Z$/ }])
  t.notMatch(all.stdout, 'digest')
})

onSqlite(t, 'what cannot be done fails, and changes nothing', FILES, async (t, shop) => {
  const { run, url } = shop
  t.match(await run('user', 'list'), {
    code: 1,
    stderr:
      'error MIGRATION_PENDING: These migrations have not been applied: users/0001_create_auth_user; run manage migrate first\n',
  })
  await run('migrate')
  t.match(await withInput(t, shop, '', 'user', 'create', 'ann'), {
    code: 1,
    stderr: /^error USAGE_INVALID: Nothing has been done: there was no password/,
  })
  t.match(await withInput(t, shop, 'short\n', 'user', 'create', 'ann'), {
    code: 1,
    stderr: /^error INVALID_REQUEST: .*\n {2}\/password has 5 characters, expected 8 to 1024\n$/,
  })
  t.equal(await (await rowsIn(t, url)).user('ann'), undefined)
  await run('user', 'create', 'ann', '--no-password')
  t.match(await run('user', 'create', 'ANN', '--no-password'), {
    code: 1,
    stderr: 'error CONFLICT: There is a user ann already\n',
  })
  for (const words of ['user disable', 'user enable', 'user passwd', 'token list'])
    t.match(await run(...words.split(' '), 'bob'), {
      code: 1,
      stderr: 'error NOT_FOUND: There is no user bob\n',
    })
  for (const words of [
    'user create',
    'user create a b',
    'user passwd',
    'token create ann',
    'token revoke',
    'token create ann --name n --days 0',
    'user create a --password x',
  ])
    t.match(await run(...words.split(' ')), { code: 2, stdout: '' }, words)
  t.match(await run('makemigrations', '--plugin', 'users', '--check'), {
    code: 0,
    stdout: 'no changes\n',
  })
})

onSqlite(
  t,
  'on a terminal a password is asked for twice, and not shown',
  FILES,
  async (t, shop) => {
    const { run, url, onTerminal } = shop
    await run('migrate')
    const { user } = await rowsIn(t, url)
    for (const [again, code] of [
      ['another', 1],
      [PASSWORD, 0],
    ] as const) {
      const terminal = onTerminal('user', 'create', 'ann')
      await terminal.until('stdout', /Password of ann: /)
      terminal.type(`${PASSWORD}\r`)
      await terminal.until('stdout', /The same again: /)
      terminal.type(`${again}\r`)
      const ended = await terminal.ended
      t.equal(ended.code, code)
      t.notMatch(ended.stdout, PASSWORD)
      t.match(ended.stdout, code === 0 ? 'created ann' : 'the two passwords differ')
      t.equal((await user('ann')) !== undefined, code === 0)
    }
    const left = onTerminal('user', 'passwd', 'ann')
    await left.until('stdout', /Password of ann: /)
    left.type('\x03')
    t.equal((await left.ended).code, 1)
    t.equal(await isPassword(PASSWORD, (await user('ann'))?.password), true)
  },
)

t.test('each has help with examples', async (t) => {
  const service = writeService(t, FILES)
  const env = { DATABASE_URL: 'sqlite::memory:' }
  const help = await manage(t, ['--help'], { service, env })
  for (const words of [
    'user create',
    'user list',
    'user disable',
    'user enable',
    'user passwd',
    'token create',
    'token list',
    'token revoke',
  ]) {
    t.match(help.stdout, `  ${words} `)
    const { code, stdout } = await manage(t, [...words.split(' '), '--help'], { service, env })
    t.equal(code, 0)
    t.match(stdout, `USAGE\n  $ manage ${words}`)
    t.match(stdout, `EXAMPLES\n  $ manage ${words}`)
  }
})
