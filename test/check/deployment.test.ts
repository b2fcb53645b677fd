import t from 'tap'
import { Type } from 'typebox'
import { checkProcess, checkSecrets } from '../../src/check/deployment.ts'
import { readConfig } from '../../src/config/read.ts'
import { attachedUrl } from '../../src/config/schema.ts'
import { secret } from '../../src/config/secret.ts'

const schema = Type.Object({
  TOKEN: secret(Type.Optional(Type.String())),
  MAIL_URL: attachedUrl('Mails.', '^smtp:', 'smtp://host', 'none'),
  NAME: Type.Optional(Type.String()),
})

const GOOD = 'b9f1c0d2e87a4356'

/** What is found where the environment says `env`, by code, and all that is told. */
function findIn(env: NodeJS.ProcessEnv, given: Parameters<typeof readConfig>[1] = {}) {
  const read = readConfig([{ owner: 'shop', schema }], { env, dotenv: false, ...given })
  const all = checkSecrets(read)
  return { told: all.map(({ code, subject }) => `${code} ${subject}`), text: JSON.stringify(all) }
}

t.test('secrets that are long and by chance are fine, and so is what is no secret', async (t) => {
  for (const env of [
    {},
    { TOKEN: GOOD },
    { MAIL_URL: `smtp://joe:${GOOD}@mail.test` },
    { NAME: 'a' },
  ])
    t.strictSame(findIn(env).told, [])
  t.strictSame(findIn({ MAIL_URL: 'smtp://mail.test' }).told, [], 'without any password')
})

t.test('short, uniform and well-known secrets are found, and not told', async (t) => {
  for (const bad of [
    'kT9$xV',
    'aaaaaaaaaaaaaaaaaaaa',
    'change-me',
    'Password123!',
    'abababababababab',
  ]) {
    const plain = findIn({ TOKEN: bad })
    t.strictSame(plain.told, ['secret-weak TOKEN'], bad)
    t.notMatch(plain.text, bad)
    const inUrl = findIn({ MAIL_URL: `smtp://joe:${encodeURIComponent(bad)}@mail.test` })
    t.strictSame(inUrl.told, ['secret-weak MAIL_URL'], bad)
    t.notMatch(inUrl.text, bad)
  }
})

t.test('secrets whose values are in the code are found, however good', async (t) => {
  const defaults = { prod: { TOKEN: GOOD } }
  const production = { NODE_ENV: 'production' }
  const { told, text } = findIn(production, { defaults })
  t.strictSame(told, ['secret-in-code TOKEN'])
  t.notMatch(text, GOOD)
  t.strictSame(findIn({ ...production, TOKEN: `${GOOD}x` }, { defaults }).told, [])
  const own = Type.Object({ KEY: secret(Type.String({ default: GOOD })) })
  const read = readConfig([{ owner: 'shop', schema: own }], { env: {}, dotenv: false })
  t.match(checkSecrets(read), [{ code: 'secret-in-code', level: 'error', subject: 'KEY' }])
})

t.test('what is said to Node.js', async (t) => {
  const now = new Date('2026-11-28')
  const codes = (version: string, env: NodeJS.ProcessEnv = {}, argv: string[] = [], at = now) =>
    checkProcess(version, env, argv, at).map(({ code }) => code)
  for (const version of ['v22.23.1', 'v24.1.0', 'v26.10.0', 'v27.0.0', 'v28.1.0'])
    t.strictSame(codes(version), [], version)
  for (const version of ['v23.1.0', 'v25.9.0']) t.strictSame(codes(version), ['node-unsupported'])
  t.strictSame(codes('v22.23.1', {}, [], new Date('2027-04-30')), [])
  t.strictSame(codes('v22.23.1', {}, [], new Date('2027-05-02')), ['node-unsupported'])
  t.strictSame(codes('v24.1.0', { NODE_TLS_REJECT_UNAUTHORIZED: '0' }), ['tls-unverified'])
  t.strictSame(codes('v24.1.0', { NODE_OPTIONS: '--inspect=0.0.0.0' }), ['inspector-open'])
  t.strictSame(codes('v24.1.0', {}, ['--inspect-brk']), ['inspector-open'])
  t.strictSame(codes('v24.1.0', { NODE_OPTIONS: '--max-old-space-size=400' }), [])
})
