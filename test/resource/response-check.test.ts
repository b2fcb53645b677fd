import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { defineResource } from '../../src/resource/resource.ts'
import { failure, serveThings } from '../helpers/app.ts'
import { type Attached, logged, onEach, serve } from './attached.ts'

const Row = Type.Object({
  id: Type.Integer({ maximum: 100 }),
  at: Type.Optional(Type.String({ format: 'date-time' })),
  tags: Type.Optional(Type.Array(Type.Object({ name: Type.String() }))),
})

let returned: unknown
let runs = 0
const definition = {
  summary: 'Row',
  response: Row,
  perform: () => {
    runs++
    return returned as never
  },
}
const row = defineResource({
  ...definition,
  task: { attempts: 3, backoff: { type: 'fixed', delay: 1 } },
})
const cached = defineResource({
  ...definition,
  path: '/cached',
  cache: { ttl: 60, perUser: false },
})
const nested = defineResource({ ...definition, path: '/nested', perform: () => row() })
const resources = { row, cached, nested }

type App = Awaited<ReturnType<typeof serve>>
type Way = [name: string, call: (app: App) => Promise<unknown>]

const overHttp = (url: string) => async (app: App) => {
  const { data, code, errors } = (await app.inject(url)).json()
  if (code !== 0) throw Object.assign(new Error(code), { code, errors })
  return data
}

/** Every way to call it; JSON, so that what a client of each has is compared. */
const WAYS: Way[] = [
  ['HTTP', overHttp('/things')],
  ['HTTP, cached', overHttp('/things/cached')],
  ['HTTP, nested', overHttp('/things/nested')],
  ['in process', (app) => app.run(() => row())],
  ['in process, cached', (app) => app.run(() => cached.refresh())],
  ['in bulk', async (app) => (await app.run(() => row.bulk([{}])))[0]],
  ['as a task', async (app) => (await app.run(() => row.enqueue())).result()],
]

/** What each way gives for `value`, an error as its code. */
async function ways(t: Test, attached: Attached, value: unknown, strict: boolean) {
  returned = value
  const { logs, server } = logged()
  const app = await serve(t, attached, resources, { strict, server })
  const given: Record<string, unknown> = {}
  for (const [name, call] of WAYS) {
    given[name] = await call(app).then(
      (result) => JSON.parse(JSON.stringify(result)),
      ({ code, errors }) => ({ code, errors: errors ?? null }),
    )
  }
  return { app, given, warnings: logs.filter(({ msg }) => msg.includes('does not fit')) }
}

const same = (value: unknown) => Object.fromEntries(WAYS.map(([name]) => [name, value]))

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
      resource: 'things.row',
      errors: [
        { path: '/deleted_at', message: 'is not known here' },
        { path: '/tags/0/secret', message: 'is not known here' },
      ],
    })
    t.equal(
      app.responses.misfits.get('things.row'),
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
  t.equal(runs, WAYS.length, 'a task that has done its work does not do it again')
})

onEach(t, 'development: each way fails, and names the field', async (t, attached) => {
  runs = 0
  const { app, given } = await ways(t, attached, { id: 1, deleted_at: null }, true)
  const errors = [{ path: '/deleted_at', message: 'is not known here' }]
  const { 'as a task': task, ...others } = given
  const { 'as a task': _, ...failed } = same({ code: 'INVALID_RESPONSE', errors })
  t.strictSame(others, failed)
  t.match(task, { code: 'TASK_FAILED' })
  t.equal(runs, WAYS.length)
  t.strictSame([...app.responses.misfits], [])
})

onEach(
  t,
  'production: what does not fit its schema is answered, and not stored',
  async (t, attached) => {
    returned = { id: 101, more: 1 }
    runs = 0
    const app = await serve(t, attached, resources, { strict: false })
    const get = async () => (await app.inject('/things/cached')).json().data
    t.strictSame([await get(), await get(), runs], [{ id: 101 }, { id: 101 }, 2])
    returned = { id: 100, more: 1 }
    t.strictSame([await get(), await get(), runs], [{ id: 100 }, { id: 100 }, 3], 'this one is')
  },
)

t.test('production: over HTTP the first answer and each hundredth are looked at', async (t) => {
  returned = { id: 1, more: 1 }
  const app = await serveThings(t, { row }, { strict: false })
  for (let i = 0; i < 101; i++) await app.inject('/things')
  t.strictSame([...app.responses.misfits], [['things.row', 2]])
})

t.test('production: a value that fits is handed on as it is', async (t) => {
  returned = { id: 1, at: new Date(0) }
  const app = await serveThings(t, { row }, { strict: false })
  t.equal(await app.run(() => row()), returned)
  returned = Readable.from([])
  t.match(await failure(app.run(() => row())), { code: 'INVALID_RESPONSE' })
})
