import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { type TSchema, Type } from 'typebox'
import type { AnyResource } from '../../src/resource/resource.ts'
import { failure, serveThings } from '../helpers/app.ts'
import { type Attached, logged, onEach, serve } from './attached.ts'
import { everyWay } from './ways.ts'

const Row = Type.Object({
  id: Type.Integer({ maximum: 100 }),
  at: Type.Optional(Type.String({ format: 'date-time' })),
  tags: Type.Optional(Type.Array(Type.Object({ name: Type.String() }))),
})

let returned: unknown
let runs = 0
const { resources, call, same } = everyWay({
  response: Row,
  perform: () => {
    runs++
    return returned
  },
})
const COUNT = Object.keys(same(null)).length

/** What each way gives for `value`, an error as its code. */
async function ways(t: Test, attached: Attached, value: unknown, strict: boolean) {
  returned = value
  const { logs, server } = logged()
  const app = await serve(t, attached, resources, { strict, server })
  const given = await call(app)
  return { app, given, warnings: logs.filter(({ msg }) => msg.includes('does not fit')) }
}

onEach(
  t,
  'production: what is not listed is left out by every way, and counted',
  async (t, attached) => {
    const at = new Date(0)
    const value = { id: 1, at, deleted_at: null, tags: [{ name: 'a', secret: 1 }] }
    const { app, given, warnings } = await ways(t, attached, value, false)
    t.strictSame(given, same({ id: 1, at: at.toISOString(), tags: [{ name: 'a' }] }))
    t.equal(
      warnings.length,
      2,
      'a line for each resource, not for each call; of `nested` it is out already',
    )
    t.match(warnings[0], {
      level: 40,
      resource: 'things.plain',
      errors: [
        { path: '/deleted_at', message: 'is not known here' },
        { path: '/tags/0/secret', message: 'is not known here' },
      ],
    })
    t.equal(
      app.responses.misfits.get('things.plain'),
      5,
      'HTTP, nested, in process, in bulk, as a task',
    )
  },
)

onEach(t, 'production: other values are written by every way as over HTTP', async (t, attached) => {
  const above = await ways(t, attached, { id: '101', tags: [{ name: 5 }] }, false)
  t.strictSame(above.given, same({ id: 101, tags: [{ name: '5' }] }))
  const fits = await ways(t, attached, { id: 7 }, false)
  t.strictSame(fits.given, same({ id: 7 }))
  t.strictSame([...fits.app.responses.misfits, ...fits.warnings], [])
})

onEach(t, 'production: what cannot be written fails by every way', async (t, attached) => {
  runs = 0
  const { given } = await ways(t, attached, { tags: [] }, false)
  const { 'as a task': task, ...others } = given
  const { 'as a task': _, ...failed } = same({ code: 'INTERNAL', errors: null })
  t.strictSame(others, failed)
  t.match(task, { code: 'TASK_FAILED' })
  t.equal(runs, COUNT, 'a task that has done its work does not do it again')
})

onEach(t, 'development: each way fails, and names the field', async (t, attached) => {
  runs = 0
  const { app, given } = await ways(t, attached, { id: 1, deleted_at: null }, true)
  const errors = [{ path: '/deleted_at', message: 'is not known here' }]
  const { 'as a task': task, ...others } = given
  const { 'as a task': _, ...failed } = same({ code: 'INVALID_RESPONSE', errors })
  t.strictSame(others, failed)
  t.match(task, { code: 'TASK_FAILED' })
  t.equal(runs, COUNT)
  t.strictSame([...app.responses.misfits], [])
})

onEach(
  t,
  'production: what does not fit its schema is answered, and not stored',
  async (t, attached) => {
    returned = { id: 101, more: 1 }
    runs = 0
    const app = await serve(t, attached, resources, { strict: false })
    const get = async () =>
      (await app.inject({ method: 'POST', url: '/things/cached' })).json().data
    t.strictSame([await get(), await get(), runs], [{ id: 101 }, { id: 101 }, 2])
    returned = { id: 100, more: 1 }
    t.strictSame([await get(), await get(), runs], [{ id: 100 }, { id: 100 }, 3], 'this one is')
  },
)

t.test('production: over HTTP the first answer and each hundredth are looked at', async (t) => {
  returned = { id: 1, more: 1 }
  const app = await serveThings(t, resources, { strict: false })
  for (let i = 0; i < 101; i++) await app.inject({ method: 'POST', url: '/things' })
  t.strictSame([...app.responses.misfits], [['things.plain', 2]])
})

t.test('production: a value that is JSON and fits is handed on as it is', async (t) => {
  returned = { id: 1, tags: [{ name: 'a' }] }
  const app = await serveThings(t, resources, { strict: false })
  const call = resources.plain as AnyResource
  t.equal(await app.run(() => call()), returned)
  returned = Readable.from([])
  t.match(await failure(app.run(() => call())), { code: 'INVALID_RESPONSE' })
})

const Mixed = Type.Object({
  at: Type.String({ format: 'date-time' }),
  ended: Type.Union([Type.String({ format: 'date-time' }), Type.Null()]),
  id: Type.Integer(),
  big: Type.Integer(),
  total: Type.Union([Type.Number(), Type.Null()]),
  one: Type.Union([Type.Object({ n: Type.Integer() }), Type.Object({ at: Type.String() })]),
  any: Type.Unknown(),
  by: Type.Record(Type.String(), Type.Integer()),
  unit: Type.String({ default: 'km' }),
  note: Type.Optional(Type.String()),
})

for (const strict of [true, false]) {
  const where = strict ? 'development' : 'production'
  onEach(t, `${where}: what each way gives is JSON, whatever the type was`, async (t, attached) => {
    const at = new Date('2026-11-28T05:00:00.123Z')
    const value = {
      at,
      ended: at,
      id: 12n,
      big: 9_007_199_254_740_993n,
      total: 9_007_199_254_740_991n,
      one: { n: 1n },
      any: { at, n: 1n, list: [at, undefined, 2n], not: undefined },
      by: { a: 1n },
      note: undefined,
    }
    const { resources, call, same } = everyWay({ response: Mixed, perform: () => value })
    const app = await serve(t, attached, resources, { strict })
    const text = at.toISOString()
    const expected = {
      at: text,
      ended: text,
      id: 12,
      big: 9_007_199_254_740_992,
      total: 9_007_199_254_740_991,
      one: { n: 1 },
      any: { at: text, n: 1, list: [text, null, 2] },
      by: { a: 1 },
      unit: 'km',
    }
    // A bigint keeps its digits where there is no JSON between.
    const exact = { ...expected, big: value.big }
    const byWay = Object.entries(same(expected)).map(([way, json]) => [
      way,
      way.startsWith('in ') ? exact : json,
    ])
    t.strictSame(await call(app), Object.fromEntries(byWay))
    t.strictSame([...app.responses.misfits], [])
    t.type(value.at, Date, 'what perform has returned is left as it is')
  })

  onEach(t, `${where}: nothing is null where that fits, else no response`, async (t, attached) => {
    const schemas: [TSchema, unknown][] = [
      [Type.Object({ note: Type.Optional(Type.String()) }), 'must be object'],
      [Type.Array(Type.String()), 'must be array'],
      [Type.String(), 'must be string'],
      [Type.Null(), null],
      [Type.Union([Type.Object({ note: Type.String() }), Type.Null()]), null],
    ]
    for (const [response, expected] of schemas) {
      for (const nothing of [undefined, null]) {
        const { resources, call, same } = everyWay({ response, perform: () => nothing })
        const app = await serve(t, attached, resources, { strict })
        const errors = [{ path: '', message: expected }]
        const { 'as a task': task, ...given } = await call(app)
        const { 'as a task': _, ...wanted } = same(
          expected === null ? null : { code: 'INVALID_RESPONSE', errors },
        )
        t.strictSame(given, wanted)
        if (expected === null) t.equal(task, null)
        else t.match(task, { code: 'TASK_FAILED' })
      }
    }
  })
}
