import t from 'tap'
import { Type } from 'typebox'
import { createClient } from '../../src/remote/client.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService } from '../helpers/app.ts'

const Name = Type.String({
  minLength: 3,
  maxLength: 10,
  pattern: '^[a-z]+$',
  messages: {
    required: 'is what others call you by',
    minLength: 'has at least three letters',
    maxLength: 'has at most ten letters',
    pattern: 'has lower case letters only',
  },
})
const add = defineResource({
  summary: 'Add',
  method: 'POST',
  path: '/:place',
  query: ['age'],
  request: Type.Object(
    {
      place: Type.String({ maxLength: 3, messages: { maxLength: 'is no code of a place' } }),
      age: Type.Integer({
        minimum: 18,
        messages: { minimum: 'is too young', required: 'is missing' },
      }),
      name: Name,
      tags: Type.Optional(
        Type.Array(Type.String(), {
          uniqueItems: true,
          maxItems: 2,
          messages: { uniqueItems: 'has one twice', maxItems: 'are too many' },
        }),
      ),
      kind: Type.Optional(
        Type.Enum(['a', 'b'], { messages: { enum: 'is no kind that we know', nonsense: 'x' } }),
      ),
      messages: Type.Optional(Type.Object({ minLength: Type.String() })),
      again: Type.Optional(Type.Object({ name: Name })),
    },
    { messages: { additionalProperties: 'is not asked for' } },
  ),
  perform: () => null,
})
const plain = defineResource({
  summary: 'Plain',
  method: 'PUT',
  request: Type.Object({ name: Type.String({ minLength: 3 }) }),
  perform: () => null,
})
const modules = { things: defineModule({ prefix: '/things', resources: { add, plain } }) }
const service = {
  name: 'things',
  modules,
  languages: {
    de: { phrases: { 'has at least three letters': 'hat mindestens drei Buchstaben' } },
  },
}

const valid = { place: 'x', age: 20, name: 'ann' }
const cases: [input: Record<string, unknown>, path: string, message: string][] = [
  [{ ...valid, name: 'x' }, '/name', 'has at least three letters'],
  [{ ...valid, name: 'x'.repeat(11) }, '/name', 'has at most ten letters'],
  [{ ...valid, name: 'ANN' }, '/name', 'has lower case letters only'],
  [{ ...valid, name: 5 }, '/name', 'must be string'],
  [{ place: 'x', age: 20 }, '/name', 'is what others call you by'],
  [{ ...valid, age: 3 }, '/age', 'is too young'],
  [{ ...valid, place: 'long' }, '/place', 'is no code of a place'],
  [{ ...valid, tags: ['a', 'a'] }, '/tags', 'has one twice'],
  [{ ...valid, tags: ['a', 'b', 'c'] }, '/tags', 'are too many'],
  [{ ...valid, kind: 'c' }, '/kind', 'is no kind that we know'],
  [{ ...valid, messages: {} }, '/messages/minLength', 'is required'],
  [{ ...valid, again: { name: 'x' } }, '/again/name', 'has at least three letters'],
]

t.test('a schema says itself how it refuses a value, by every way', async (t) => {
  const { app } = await createService(t, {}, service)
  const client = createClient<typeof service>({
    url: await app.listen({ host: '127.0.0.1', port: 0 }),
    retry: false,
  })
  const caller = await createService(t, {}, { name: 'caller' })
  for (const [input, path, message] of cases) {
    const expected = [{ path, message }]
    const { place, age, ...payload } = input
    const answer = await app.inject({
      method: 'POST',
      url: `/things/${place}?age=${age}`,
      payload,
    })
    t.equal(answer.statusCode, 400, message)
    t.strictSame(answer.json().errors, expected, 'over HTTP')
    await app.run(async () => {
      await t.rejects(add(input as never), { code: 'INVALID_REQUEST', errors: expected })
      await t.rejects(add.enqueue(input as never), { errors: expected })
      const [one] = await add.bulk([input as never], { settled: true })
      t.match(one, { reason: { errors: expected } })
    })
    await caller.app.run(() =>
      t.rejects(client.things.add(input as never), { code: 'INVALID_REQUEST', errors: expected }),
    )
  }
  await app.run(async () => {
    t.equal(await add(valid), null)
    await t.rejects(add({ name: 'ann', place: 'x' } as never), {
      errors: [{ path: '/age', message: 'is missing' }],
    })
    await t.rejects(add({ ...valid, more: 1 } as never), {
      errors: [{ path: '/more', message: 'is not asked for' }],
    })
    await t.rejects(plain({ name: 'x' }), {
      errors: [{ path: '/name', message: 'must NOT have fewer than 3 characters' }],
    })
  })
})

t.test('they are translated as those of the kit are', async (t) => {
  const { app } = await createService(t, {}, service)
  const answer = await app.inject({
    method: 'POST',
    url: '/things/x?age=20',
    payload: { name: 'x' },
    headers: { 'accept-language': 'de' },
  })
  t.strictSame(answer.json().errors, [{ path: '/name', message: 'hat mindestens drei Buchstaben' }])
})

t.test('what is told of an error has neither the value nor the schema', async (t) => {
  const { app, logs } = await createService(t, {}, service)
  const payload = { name: 'SECRET' }
  const answer = await app.inject({ method: 'POST', url: '/things/x?age=20', payload })
  t.notMatch(answer.body, /SECRET|a-z/)
  t.notMatch(JSON.stringify(logs), /SECRET/)
})
