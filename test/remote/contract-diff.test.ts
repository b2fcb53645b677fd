import t from 'tap'
import { type TSchema, Type } from 'typebox'
import type { ResourceContract, ServiceContract } from '../../src/remote/contract.ts'
import { diffContracts } from '../../src/remote/contract-diff.ts'
import { file } from '../../src/resource/stream.ts'
import { boundNumbers, closeSchema, type JsonSchema } from '../../src/schema/json-schema.ts'
import { compileExact } from '../../src/schema/validate.ts'
import { seeded } from '../helpers/random-schema.ts'
import { RandomJson } from './random-json.ts'

const SEED = Number(process.env.SEED ?? 14)
const PAIRS = Number(process.env.PAIRS ?? 250)
const VALUES = 30

const RESOURCE: ResourceContract = {
  method: 'POST',
  path: '/things/:id',
  query: [],
  request: closeSchema(Type.Object({ id: Type.Integer() })),
  response: Type.Object({ name: Type.String() }) as TSchema as JsonSchema,
  status: 200,
  errors: [],
  async: false,
}

function contract(resource: Partial<ResourceContract> = {}, more: Partial<ServiceContract> = {}) {
  return {
    contract: 1 as const,
    service: 'atlas',
    version: '1.0.0',
    envelope: 'standard',
    tasks: '/tasks',
    resources: { 'things.make': { ...RESOURCE, ...resource } },
    ...more,
  }
}

const request = (schema: object) => contract({ request: closeSchema(schema as JsonSchema) })
const response = (schema: object) => contract({ response: schema as JsonSchema })

/** What has changed, in words. */
function told(before: ServiceContract, after: ServiceContract): string[] {
  return diffContracts(before, after).map(
    ({ level, resource, change }) => `${level} ${resource}: ${change}`,
  )
}

const isBreaking = (before: ServiceContract, after: ServiceContract, part: string) =>
  diffContracts(before, after).some(
    ({ level, change }) => level === 'breaking' && change.startsWith(part),
  )

t.test('files', (t) => {
  const Id = { id: Type.Integer() }
  const taking = (more: Record<string, TSchema>) => request(Type.Object({ ...Id, ...more }))
  const content = file()
  t.strictSame(told(taking({ content }), taking({ content })), [])
  t.ok(isBreaking(taking({ content }), taking({ content: Type.String() }), 'body: file → json'))
  t.ok(isBreaking(taking({ content: Type.String() }), taking({ content }), 'body: json → file'))
  t.ok(
    isBreaking(
      taking({ content }),
      taking({ content, note: Type.Optional(Type.String()) }),
      'body: file → multipart',
    ),
  )
  t.notOk(isBreaking(taking({}), taking({ content: Type.Optional(content) }), ''), 'a new one')
  t.end()
})

t.test('what was valid stays valid where the difference says so', async (t) => {
  const random = new RandomJson(seeded(SEED))
  const counts = { requests: 0, responses: 0, values: 0 }
  type Test = (value: unknown) => boolean
  /** Values of `from`, which has to be what `to` takes. */
  const hold = (isFrom: Test, isTo: Test, what: string, schemas: JsonSchema[]) => {
    for (let i = 0; i < VALUES; i++) {
      const value = random.value(schemas[i % 2])
      if (!isFrom(structuredClone(value))) continue
      counts.values += 1
      if (isTo(structuredClone(value))) continue
      t.fail(`a ${what} that fits no more, seed ${SEED}: ${JSON.stringify({ value, schemas })}`)
      return
    }
  }
  for (let i = 0; i < PAIRS; i++) {
    const before = random.schema()
    let after = random.change(before)
    while (random.chance(0.3)) after = random.change(after)
    const [ins, outs] = [
      [request(before), request(after)],
      [response(before), response(after)],
    ] as const
    if (!isBreaking(...ins, 'request')) {
      counts.requests += 1
      const [from, to] = [before, after].map((one) => compileExact(boundNumbers(closeSchema(one))))
      hold(from as Test, to as Test, 'request', [before, after])
    }
    if (!isBreaking(...outs, 'response')) {
      counts.responses += 1
      hold(compileExact(closeSchema(after)), createReader(before), 'response', [before, after])
    }
  }
  t.ok(counts.requests > PAIRS / 10, `${counts.requests} requests`)
  t.ok(counts.responses > PAIRS / 10, `${counts.responses} responses`)
  t.ok(counts.values > PAIRS * 4, `${counts.values} values`)
})

/** Whether an answer is one that clients read: they leave out what they do not know. */
function createReader(schema: JsonSchema): (value: unknown) => boolean {
  const [exactly, besides] = [compileExact(closeSchema(schema)), compileExact(schema)]
  return (value) => exactly(structuredClone(value)) || besides(value)
}

t.test('the same schema is no change', async (t) => {
  const random = new RandomJson(seeded(SEED + 1))
  for (let i = 0; i < 200; i++) {
    const schema = random.schema()
    t.strictSame(told(request(schema), request(structuredClone(schema))), [])
    t.strictSame(told(response(schema), response(structuredClone(schema))), [])
  }
})

const Thing = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 40 }),
  kind: Type.Union([Type.Literal('a'), Type.Literal('b')]),
  size: Type.Optional(Type.Integer({ minimum: 0 })),
})
type Fields = Record<string, unknown>
const thing = (fields: Fields) => Type.Object({ ...Thing.properties, ...fields } as never)

t.test('each change of a request, and whether it breaks', async (t) => {
  const to = (fields: Fields) => told(request(Thing), request(thing(fields)))
  const say = (text: string) => [
    `${text.startsWith('!') ? 'breaking' : 'compatible'} things.make: request ${text.replace('!', '')}`,
  ]
  t.strictSame(to({ color: Type.String() }), say('!/color required: no → yes'))
  t.strictSame(to({ color: Type.Optional(Type.String()) }), say('/color property: no → yes'))
  t.strictSame(to({ color: Type.String({ default: 'red' }) }), say('/color property: no → yes'))
  t.strictSame(to({ size: Type.Integer({ minimum: 0 }) }), say('!/size required: no → yes'))
  t.strictSame(
    to({ name: Type.String({ minLength: 1, maxLength: 20 }) }),
    say('!/name maxLength: 40 → 20'),
  )
  t.strictSame(
    to({ name: Type.String({ minLength: 1, maxLength: 60 }) }),
    say('/name maxLength: 40 → 60'),
  )
  t.strictSame(to({ kind: Type.Literal('a') }), say('!/kind value "b": yes → no'))
  t.strictSame(
    to({ kind: Type.Union([...Thing.properties.kind.anyOf, Type.Literal('c')]) }),
    say('/kind value "c": no → yes'),
  )
  t.strictSame(
    to({ size: Type.Optional(Type.Number({ minimum: 0 })) }),
    say('/size type: integer → number'),
  )
  t.strictSame(to({ size: Type.Optional(Type.String()) }), say('!/size type: integer → string'))
  t.strictSame(
    to({ size: Type.Optional(Type.Integer({ minimum: 1 })) }),
    say('!/size minimum: 0 → 1'),
  )
  t.strictSame(
    told(request(Thing), request(Type.Omit(Thing, ['size']))),
    say('!/size property: yes → no'),
  )
  t.strictSame(
    to({ name: Type.String({ minLength: 1, maxLength: 40, pattern: '^x' }) }),
    say('!/name pattern: "^x": no → yes'),
  )
})

t.test('each change of a response, and whether it breaks', async (t) => {
  const to = (fields: Fields) => told(response(Thing), response(thing(fields)))
  const say = (text: string) => [
    `${text.startsWith('!') ? 'breaking' : 'compatible'} things.make: response ${text.replace('!', '')}`,
  ]
  t.strictSame(
    told(response(Thing), response(Type.Omit(Thing, ['name']))),
    [
      'breaking things.make: response /name property: yes → no',
      'breaking things.make: response /name required: yes → no',
    ].slice(0, 1),
  )
  t.strictSame(
    told(response(Thing), response(Type.Omit(Thing, ['size']))),
    say('!/size property: yes → no'),
  )
  t.strictSame(to({ name: Type.Optional(Thing.properties.name) }), say('!/name required: yes → no'))
  t.strictSame(to({ color: Type.String() }), say('/color property: no → yes'))
  t.strictSame(to({ size: Thing.properties.size }), [])
  t.strictSame(to({ size: Type.Integer({ minimum: 0 }) }), say('/size required: no → yes'))
  t.strictSame(
    to({ name: Type.Union([Thing.properties.name, Type.Null()]) }),
    say('!/name value null: no → yes'),
  )
  t.strictSame(
    to({ kind: Type.Union([...Thing.properties.kind.anyOf, Type.Literal('c')]) }),
    say('!/kind value "c": no → yes'),
  )
  t.strictSame(
    to({ name: Type.String({ minLength: 1, maxLength: 60 }) }),
    say('!/name maxLength: 40 → 60'),
  )
  t.strictSame(
    to({ size: Type.Optional(Type.Number({ minimum: 0 })) }),
    say('!/size type: integer → number'),
  )
  t.strictSame(
    told(response(Type.Array(Thing)), response(Type.Array(thing({ kind: Type.Literal('a') })))),
    say('/*/kind value "b": yes → no'),
  )
})

t.test('schemas that refer to themselves are compared to their end', async (t) => {
  const tree = (extra: JsonSchema): JsonSchema => ({
    $ref: '#/$defs/Node',
    $defs: {
      Node: {
        type: 'object',
        properties: { name: { type: 'string' }, next: { $ref: '#/$defs/Node' }, ...extra },
        required: ['name'],
      },
    },
  })
  t.strictSame(told(response(tree({})), response(tree({}))), [])
  t.strictSame(told(request(tree({})), request(tree({ more: { type: 'string' } }))), [
    'compatible things.make: request /more property: no → yes',
  ])
  t.strictSame(told(response(tree({ more: { type: 'string' } })), response(tree({}))), [
    'breaking things.make: response /more property: yes → no',
  ])
})

t.test('what is no schema', async (t) => {
  const from = contract({ errors: [{ code: 'CITY_CLOSED', status: 409 }], async: true })
  const say = (resource: Partial<ResourceContract>, more: Partial<ServiceContract> = {}) =>
    told(
      from,
      contract(
        { errors: from.resources['things.make']?.errors ?? [], async: true, ...resource },
        more,
      ),
    )
  const one = (text: string) => [text.replace(' ', ' things.make: ')]
  t.strictSame(say({ method: 'PUT' }), one('breaking method: POST → PUT'))
  t.strictSame(say({ path: '/v2/:id' }), one('breaking path: /things/:id → /v2/:id'))
  t.strictSame(say({ status: 201 }), one('breaking status: 200 → 201'))
  t.strictSame(say({ async: false }), one('breaking async: true → false'))
  t.strictSame(say({ idempotency: true }), one('compatible idempotency: false → true'))
  t.strictSame(say({ idempotency: 'required' }), one('breaking idempotency: false → required'))
  const keeps = contract({ idempotency: true })
  t.strictSame(told(keeps, contract({})), one('breaking idempotency: true → false'))
  t.strictSame(say({ auth: 'required' }), one('breaking auth: undecided → required'))
  t.strictSame(say({ errors: [] }), one('note it does not fail with CITY_CLOSED any more'))
  t.strictSame(
    say({ errors: [{ code: 'CITY_CLOSED', status: 410 }] }),
    one('breaking status of the error CITY_CLOSED: 409 → 410'),
  )
  t.strictSame(told(contract(), from).slice(0, 1), one('note it may fail with CITY_CLOSED (409)'))
  t.strictSame(say({}, { envelope: 'problem' }), ['breaking *: envelope: standard → problem'])
  t.strictSame(say({}, { tasks: '/jobs' }), ['breaking *: tasks: /tasks → /jobs'])
  t.strictSame(say({}, { resources: {} }), one('breaking is not there any more'))
  t.strictSame(told(contract({}, { resources: {} }), contract()), one('compatible is new'))
  const body = Type.Object({ id: Type.Integer(), note: Type.String() })
  const moved = { request: closeSchema(body) }
  t.strictSame(
    told(contract(moved), contract({ ...moved, query: ['note'] })),
    one('breaking request /note is sent in the: body → query'),
  )
})

t.test('who calls what breaks is named', async (t) => {
  const clients = [
    { client: 'orders/1.2.0', uses: { atlas: ['things.make'] } },
    { client: 'billing/0.1.0', uses: { atlas: ['things.list'], other: ['things.make'] } },
  ]
  const [change] = diffContracts(contract(), contract({ status: 201 }), clients)
  t.strictSame(change?.calledBy, ['orders/1.2.0'])
  const [all] = diffContracts(contract(), contract({}, { envelope: 'bk' }), clients)
  t.strictSame(all?.calledBy, ['orders/1.2.0', 'billing/0.1.0'])
})
