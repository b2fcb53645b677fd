import t from 'tap'
import { type TSchema, Type } from 'typebox'
import tasksPlugin from '../../plugins/tasks.ts'
import upstreamPlugin from '../../plugins/upstream.ts'
import { defineError, errors, PlinthError } from '../../src/errors.ts'
import { createAddress } from '../../src/remote/address-request.ts'
import { createClient } from '../../src/remote/client.ts'
import { contractOf } from '../../src/remote/contract.ts'
import { toPlinthError } from '../../src/resource/failure.ts'
import { defineModule } from '../../src/resource/module.ts'
import { type AnyResource, defineResource } from '../../src/resource/resource.ts'
import { fromJson } from '../../src/schema/json.ts'
import { createBareApp } from '../helpers/app.ts'

const SHUT = defineError<[name: string]>('SHOP_SHUT', 503, 'The shop %s is shut')
const LIMIT = defineError<[most: number]>('OVER_LIMIT', 409, 'More than %s')

/** A resource that answers, or throws, the same whatever it is asked. */
const says = (response: TSchema, perform: () => unknown, more: object = {}) =>
  defineResource({ summary: 'Says', response, perform, ...more }) as AnyResource

const throws = (make: () => Error, more: object = {}) =>
  says(
    Type.Null(),
    () => {
      throw make()
    },
    more,
  )

const Person = Type.Object({
  name: Type.String(),
  born: Type.Optional(Type.String({ format: 'date-time' })),
  tags: Type.Array(Type.String(), { default: [] }),
  nick: Type.Union([Type.String(), Type.Null()]),
})
const never = new Promise(() => {})

/** What is answered, by any way. */
const results: Record<string, AnyResource> = {
  text: says(Type.String(), () => 'ä "quoted" \u2028 \n text'),
  empty: says(Type.String(), () => ''),
  number: says(Type.Number(), () => 1.5e-7),
  zero: says(Type.Number(), () => -0),
  yes: says(Type.Boolean(), () => true),
  nothing: says(Type.Null(), () => null),
  undefined: says(Type.Null(), () => undefined),
  nullable: says(Type.Union([Type.String(), Type.Null()]), () => null),
  list: says(Type.Array(Type.Integer()), () => [3, 1, 2]),
  emptyList: says(Type.Array(Type.Integer()), () => []),
  date: says(Type.String({ format: 'date-time' }), () => new Date(0)),
  bigint: says(Type.Integer(), () => 12n),
  long: says(Type.Object({ id: Type.Integer() }), () => ({ id: 2n ** 60n + 1n })),
  longs: says(Type.Array(Type.Integer()), () => [2n ** 60n + 1n, 5]),
  person: says(Person, () => ({ name: 'Ann', born: new Date(5), nick: null })),
  absent: says(Person, () => ({ name: 'Ann', born: undefined, nick: 'a', tags: ['x'] })),
  extra: says(Person, () => ({ name: 'Ann', nick: null, tags: [], secret: 1 })),
  deep: says(Type.Array(Type.Object({ inner: Person })), () => [
    { inner: { name: 'Bob', nick: null, tags: [], secret: 1 }, more: 2 },
  ]),
  union: says(
    Type.Union([
      Type.Object({ kind: Type.Literal('a'), n: Type.Integer() }),
      Type.Object({ kind: Type.Literal('b'), s: Type.String() }),
    ]),
    () => ({ kind: 'b', s: 'x' }),
  ),
  record: says(Type.Record(Type.String(), Type.Integer()), () => ({ a: 1, 'b c': 2 })),
  anything: says(Type.Unknown(), () => ({ a: [null, { b: 'x' }] })),
}

/** What is thrown, and told to whoever calls. */
const failures: Record<string, AnyResource> = {
  missing: throws(() => errors.NOT_FOUND('city', 7)),
  forbidden: throws(() => errors.FORBIDDEN()),
  conflict: throws(() => LIMIT(5)),
  detailed: throws(() =>
    errors.INVALID_REQUEST.with({ errors: [{ path: '/a~1b', message: 'is bad ü' }] }, 'x'),
  ),
  data: throws(() => LIMIT.with({ data: { next: [1, null] } }, 5)),
  bad: throws(() => errors.BAD_REQUEST('so')),
  teapot: throws(() => new PlinthError('TEAPOT', 418, 'short and stout')),
  gone: throws(() => new PlinthError('GONE', 410, 'gone for ever')),
  declared: throws(() => SHUT('x'), { errors: [SHUT] }),
}

/** What tells of the other service, and not of what it was asked: a caller is told that it failed. */
const faults: Record<string, [resource: AnyResource, code: string, status: number]> = {
  broken: [throws(() => new Error('a secret')), 'UPSTREAM_REFUSED', 502],
  invalid: [says(Type.Integer(), () => null), 'UPSTREAM_REFUSED', 502],
  strangers: [throws(() => errors.UNAUTHENTICATED()), 'UPSTREAM_REFUSED', 502],
  shut: [throws(() => SHUT('y')), 'UPSTREAM_UNAVAILABLE', 503],
  busy: [throws(() => errors.TOO_MANY_REQUESTS()), 'UPSTREAM_UNAVAILABLE', 503],
  late: [says(Type.Null(), () => never, { timeout: 30 }), 'UPSTREAM_TIMEOUT', 504],
}

const Asked = Type.Object({
  id: Type.Integer({ minimum: 1 }),
  name: Type.String({ default: 'nobody', maxLength: 5 }),
  flag: Type.Optional(Type.Boolean()),
  tags: Type.Optional(Type.Array(Type.String(), { maxItems: 2 })),
  note: Type.Optional(Type.Union([Type.String({ minLength: 1 }), Type.Null()])),
})
const echo = (method: 'GET' | 'POST' | 'PUT' | 'DELETE') =>
  defineResource({
    summary: 'Echo',
    method,
    path: `/${method.toLowerCase()}/:id`,
    request: Asked,
    query: ['flag'],
    response: Asked,
    perform: (input) => input,
  }) as AnyResource
const echoes = { get: echo('GET'), post: echo('POST'), put: echo('PUT'), remove: echo('DELETE') }

/** Right and wrong; texts are such that a query has them as they are. */
const inputs: unknown[] = [
  { id: 1 },
  { id: 2, name: 'é&=+ ', flag: false, tags: ['a', 'b/c?'], note: null },
  { id: 3, flag: true, tags: ['one'], note: 'x' },
  { id: 0 },
  { id: 1, name: 'too long' },
  { id: 1, tags: ['a', 'b', 'c'] },
  { id: 1, strange: 1 },
]

const list = (resources: Record<string, AnyResource>) =>
  defineModule({
    prefix: '/',
    async: true,
    resources: Object.fromEntries(
      Object.entries(resources).map(([name, one]) => [
        name,
        // Each at a path of its own.
        one.definition.path
          ? one
          : Object.assign(one, { definition: { ...one.definition, path: `/${name}` } }),
      ]),
    ),
  })

const faulty = Object.fromEntries(Object.entries(faults).map(([name, [one]]) => [name, one]))
const modules = { all: list({ ...results, ...failures, ...faulty, ...echoes }) }

interface Outcome {
  value?: string
  failure?: object
}

t.test('five ways', async (t) => {
  const app = await createBareApp(t, modules, {
    strict: false,
    plugin: (app) => void app.register(tasksPlugin),
  })
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  const contract = contractOf(app, { name: 'parity' })
  const caller = await createBareApp(
    t,
    {},
    {
      plugin: (app) => void app.register(upstreamPlugin),
    },
  )
  const client = createClient<{ modules: { all: { resources: Record<string, AnyResource> } } }>({
    url: origin,
    contract: JSON.parse(JSON.stringify(contract)),
    retry: false,
    breaker: false,
  }) as unknown as { all: Record<string, AnyResource> }

  const text = (value: unknown) =>
    JSON.stringify(value, (_, one) => (typeof one === 'bigint' ? `${one}n` : one))
  const told = (error: unknown): object => {
    const { code, statusCode, message, errors, data } = toPlinthError(error, app)
    return { code, statusCode, message, errors, data }
  }
  const outcome = async (promise: Promise<unknown>): Promise<Outcome> =>
    await promise.then(
      (value) => ({ value: text(value) }),
      (error: unknown) => ({ failure: told(error) }),
    )
  /** What an answer says, in the words of the one who calls. */
  const answered = (body: string, status: number): Outcome => {
    const { result, data, code, message, errors } = fromJson(body) as Record<string, unknown>
    if (result) return { value: text(data) }
    return { failure: { code, statusCode: status, message, errors, data } }
  }
  const requestOf = (name: string, input: unknown) => {
    const one = contract.resources[`all.${name}`]
    if (!one) throw new Error(`no ${name}`)
    const { path, rest } = createAddress({
      ...one,
      name,
      path: one.path.replaceAll(/:(\w+)/g, '{$1}'),
      hasBody: one.method !== 'GET',
    })(input)
    const headers = rest === undefined ? {} : { 'content-type': 'application/json' }
    const body = rest === undefined ? {} : { body: JSON.stringify(rest) }
    return { path, init: { method: one.method, headers, ...body } }
  }
  const resourceOf = (name: string) => app.registry.find(`all.${name}`).resource as AnyResource

  const inProcess = (name: string, input: unknown) =>
    outcome(app.run(() => resourceOf(name)(input as never) as Promise<unknown>))
  const injected = async (name: string, input: unknown) => {
    const { path, init } = requestOf(name, input)
    const { method, headers, body } = init as {
      method: 'GET'
      headers: Record<string, string>
      body?: string
    }
    const answer = await app.inject({ method, url: path, headers, ...(body && { payload: body }) })
    return answered(answer.body, answer.statusCode)
  }
  const overHttp = async (name: string, input: unknown) => {
    const { path, init } = requestOf(name, input)
    const answer = await fetch(origin + path, init)
    return answered(await answer.text(), answer.status)
  }
  const byClient = (name: string, input: unknown) =>
    outcome(caller.run(() => client.all[name]?.(input as never) as Promise<unknown>))
  const asTask = (name: string, input: unknown) =>
    outcome(app.run(async () => await (await resourceOf(name).enqueue(input as never)).result()))
  const byClientAsTask = (name: string, input: unknown) =>
    outcome(
      caller.run(async () => await (await client.all[name]?.enqueue(input as never))?.result()),
    )
  /** A task keeps only code and message, and a bigint in it is what JSON has of it. */
  const kept = ({ value, failure }: Outcome) =>
    failure
      ? (failure as { message: string }).message.replace(/^The task \S+ failed: /, '')
      : (fromJson(value?.replaceAll(/"(\d+)n"/g, '$1') ?? 'null') as unknown)

  for (const name of Object.keys(results)) {
    const expected = await inProcess(name, {})
    t.ok(expected.value !== undefined, `${name}: ${expected.value}`)
    t.strictSame(await injected(name, {}), expected, `${name} injected`)
    t.strictSame(await overHttp(name, {}), expected, `${name} over HTTP`)
    t.strictSame(await byClient(name, {}), expected, `${name} by the client`)
    t.strictSame(kept(await asTask(name, {})), kept(expected), `${name} as a task`)
    t.strictSame(kept(await byClientAsTask(name, {})), kept(expected), `${name} as a task there`)
  }
  for (const name of Object.keys(failures)) {
    const expected = await inProcess(name, {})
    t.ok(expected.failure, name)
    t.strictSame(await injected(name, {}), expected, `${name} injected`)
    t.strictSame(await overHttp(name, {}), expected, `${name} over HTTP`)
    t.strictSame(await byClient(name, {}), expected, `${name} by the client`)
    t.strictSame(kept(await asTask(name, {})), kept(expected), `${name} as a task`)
    t.strictSame(kept(await byClientAsTask(name, {})), kept(expected), `${name} as a task there`)
  }
  for (const name of Object.keys(echoes))
    for (const input of inputs) {
      const expected = await inProcess(name, input)
      const what = `${name} of ${JSON.stringify(input)}`
      t.strictSame(await injected(name, input), expected, `${what} injected`)
      t.strictSame(await overHttp(name, input), expected, `${what} over HTTP`)
      t.strictSame(await byClient(name, input), expected, `${what} by the client`)
      t.strictSame(await asTask(name, input), expected, `${what} as a task`)
      t.strictSame(await byClientAsTask(name, input), expected, `${what} as a task there`)
    }
  for (const [name, [, code, statusCode]] of Object.entries(faults)) {
    const expected = await inProcess(name, {})
    t.ok(expected.failure, name)
    t.strictSame(await injected(name, {}), expected, `${name} injected`)
    t.strictSame(await overHttp(name, {}), expected, `${name} over HTTP`)
    t.match((await byClient(name, {})).failure, { code, statusCode, errors: null, data: null })
  }
})
