import t from 'tap'
import { Type } from 'typebox'
import { secret } from '../../src/config/secret.ts'
import { errors } from '../../src/errors.ts'
import { redact } from '../../src/resource/call-log.ts'
import { defineResource } from '../../src/resource/resource.ts'
import type { JsonSchema } from '../../src/schema/json-schema.ts'
import { createService, failure } from '../helpers/app.ts'
import { block } from '../helpers/block.ts'

const Login = Type.Object({
  name: Type.String(),
  password: Type.String({ writeOnly: true }),
  tokens: Type.Optional(Type.Array(secret(Type.String()))),
})
const User = Type.Object({ name: Type.String(), key: Type.Optional(secret(Type.String())) })

t.test('a call leaves a line with what is not secret', async (t) => {
  const login = defineResource({
    summary: 'Log in',
    method: 'POST',
    request: Login,
    response: User,
    log: true,
    perform({ name }) {
      if (name === 'eve') throw errors.NOT_FOUND('user', name)
      // As a row has it: what no schema lists.
      return { name, key: 's3cret', hash: 's3cret' }
    },
  })
  const { app, logs } = await createService(t, { login })
  const send = (payload: object) => app.inject({ method: 'POST', url: '/things', payload })
  await send({ name: 'ada', password: 's3cret', tokens: ['s3cret'] })
  await send({ name: 'eve', password: 's3cret' })
  const lines = logs.filter(({ msg }) => msg === 'call')
  t.match(lines, [
    {
      resource: 'things.login',
      input: { name: 'ada', password: '[redacted]', tokens: ['[redacted]'] },
      result: { name: 'ada', key: '[redacted]' },
      duration_ms: Number,
    },
    { input: { name: 'eve' }, error: 'NOT_FOUND', result: undefined },
  ])
  t.notMatch(JSON.stringify(logs), /s3cret/)
})

t.test('what is long is cut, and only a part is told', async (t) => {
  const Text = Type.Object({ text: Type.String() })
  const settings = {
    request: Text,
    response: Text,
    perform: ({ text }: { text: string }) => ({ text }),
  }
  const short = defineResource({ summary: 'Cut', path: '/short', log: { limit: 20 }, ...settings })
  const whole = defineResource({ summary: 'Whole', path: '/whole', log: { limit: 0 }, ...settings })
  const none = defineResource({ summary: 'None', path: '/none', log: { sample: 0 }, ...settings })
  const { app, logs } = await createService(t, { short, whole, none })
  const text = 'x'.repeat(5000)
  for (const resource of [short, whole, none]) await app.run(() => resource({ text }))
  const lines = logs.filter(({ msg }) => msg === 'call')
  t.strictSame(
    lines.map(({ resource, input }) => [resource, input]),
    [
      ['things.short', `{"text":"${'x'.repeat(11)}......`],
      ['things.whole', { text }],
    ],
  )
})

t.test('a call that is slow leaves a warning', async (t) => {
  const slow = defineResource({
    summary: 'Slow',
    async perform() {
      block(30)
      return null
    },
  })
  const fast = defineResource({ summary: 'Fast', path: '/fast', perform: () => null })
  const { app, logs } = await createService(t, { slow, fast }, { variables: { SLOW_CALL: '25' } })
  await app.run(() => slow({}))
  const quick = await createService(t, { fast }, { variables: { SLOW_CALL: '600000' } })
  await quick.app.run(() => fast({}))
  t.match(
    logs.filter(({ msg }) => msg === 'slow call'),
    [{ level: 40, resource: 'things.slow', mode: 'cached', duration_ms: Number }],
  )
  t.strictSame(
    quick.logs.filter(({ msg }) => msg === 'slow call'),
    [],
  )
})

t.test('what is secret is so wherever it stands', async (t) => {
  const hidden = { type: 'string', secret: true }
  for (const [schema, value, told] of [
    [{ type: 'string', format: 'password' }, 'x', '[redacted]'],
    [{ anyOf: [hidden, { type: 'null' }] }, 'x', '[redacted]'],
    [
      {
        allOf: [
          { type: 'object', properties: { a: {} } },
          { type: 'object', properties: { b: hidden } },
        ],
      },
      { a: 1, b: 'x', c: 2 },
      { a: 1, b: '[redacted]' },
    ],
    [{ type: 'object', additionalProperties: hidden }, { a: 'x' }, { a: '[redacted]' }],
    [
      {
        $ref: '#/$defs/Node',
        $defs: {
          Node: { type: 'object', properties: { key: hidden, next: { $ref: '#/$defs/Node' } } },
        },
      },
      { key: 'x', next: { key: 'y', more: 'z' } },
      { key: '[redacted]', next: { key: '[redacted]' } },
    ],
    [{ type: 'array', prefixItems: [{}, hidden], items: {} }, [1, 'x', 3], [1, '[redacted]', 3]],
    [{}, { a: 1 }, { a: 1 }],
  ] as [JsonSchema, unknown, unknown][])
    t.strictSame(redact(value, schema), told)
})

t.test('its options are looked at', async (t) => {
  const wrong = defineResource({ summary: 'Wrong', log: { sample: 2 }, perform: () => null })
  t.match(await failure(createService(t, { wrong })), {
    code: 'RESOURCE_INVALID',
    message: /its log\.sample is 2; expected 0 to 1/,
  })
})
