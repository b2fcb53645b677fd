// Nothing here runs: `npm run check:types` fails where a type is not what is said, or an error does not come.
import type { Generated, Kysely } from 'kysely'
import {
  type App,
  chain,
  createApp,
  defineError,
  defineList,
  defineModule,
  defineResource,
  defineService,
  group,
  notFound,
  type Static,
  type Task,
  Type,
} from 'plinth'

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

function is<A, B>(..._proof: Equal<A, B> extends true ? [] : [expected: A, got: B]): void {}

const City = Type.Object({
  id: Type.Integer(),
  name: Type.String(),
  country: Type.Optional(Type.String()),
})
type City = { id: number; name: string; country?: string }

const retrieve = defineResource({
  summary: 'One city',
  path: '/:id',
  request: Type.Object({ id: Type.Integer() }),
  response: City,
  examples: { request: { id: 1 }, response: { id: 1, name: 'Paris' } },
  perform({ id }, { db, requestId, signal }) {
    is<typeof id, number>()
    is<typeof requestId, string>()
    is<typeof signal, AbortSignal>()
    return db ? { id, name: 'x' } : notFound('city', id)
  },
})
const list = defineResource({
  summary: 'Cities',
  request: Type.Object({ page: Type.Optional(Type.Integer()) }),
  response: Type.Array(City),
  async perform({ page }) {
    is<typeof page, number | undefined>()
    return []
  },
})
const clear = defineResource({ summary: 'Clear', method: 'POST', perform: () => null })
const importAll = defineResource({
  summary: 'Import',
  method: 'POST',
  request: Type.Array(City),
  response: Type.Object({ count: Type.Integer() }),
  perform: (cities) => ({ count: cities.length }),
})

export async function calls(): Promise<void> {
  const city = await retrieve({ id: 1 })
  is<typeof city, City>()
  is<number, typeof city.id>()
  // @ts-expect-error the id is an integer
  await retrieve({ id: 'x' })
  // @ts-expect-error the id is required
  await retrieve({})
  // @ts-expect-error the request is required
  await retrieve()
  // @ts-expect-error nobody knows x
  await retrieve({ id: 1, x: 1 })
  // @ts-expect-error it has no such property
  city.nope

  const cities = await list()
  is<typeof cities, City[]>()
  await list({})
  await list({ page: 1 }, { timeout: 5, signal: new AbortController().signal })
  // @ts-expect-error a list is not asked for by a text
  await list({ page: '1' })

  const nothing = await clear()
  is<typeof nothing, null>()
  // @ts-expect-error it takes nothing
  await clear({ x: 1 })

  await importAll([{ id: 1, name: 'x' }])
  // @ts-expect-error it takes a list
  await importAll({ id: 1, name: 'x' })
  // @ts-expect-error the list is required
  await importAll()
}

export async function modes(): Promise<void> {
  is<Awaited<ReturnType<typeof retrieve.refresh>>, City>()
  is<Awaited<ReturnType<typeof retrieve.cacheless>>, City>()
  is<Awaited<ReturnType<typeof retrieve.invalidate>>, void>()
  await retrieve.refresh({ id: 1 }, { timeout: 5 })
  await retrieve.invalidate({ id: 1 })
  await list.refresh()
  await list.invalidate()
  // @ts-expect-error the id is required
  await retrieve.refresh({})
  // @ts-expect-error the id is an integer
  await retrieve.cacheless({ id: 'x' })
  // @ts-expect-error the request is required
  await retrieve.invalidate()
}

export async function tasks(): Promise<void> {
  const task = await retrieve.enqueue({ id: 1 }, { delay: 5, key: 'x', unique: true, user: null })
  is<typeof task, Task<City>>()
  const city = await task.result({ signal: new AbortController().signal })
  is<typeof city, City>()
  is<Awaited<ReturnType<typeof task.cancel>>, boolean>()
  const nothing = await (await clear.enqueue()).result()
  is<typeof nothing, null>()
  // @ts-expect-error the id is an integer
  await retrieve.enqueue({ id: 'x' })
  // @ts-expect-error the request is required
  await retrieve.enqueue()
  // @ts-expect-error times are numbers
  await clear.enqueue({}, { delay: '5' })
  // @ts-expect-error there is no such option
  await clear.enqueue({}, { nope: 1 })
  await chain(retrieve.task({ id: 1 }), clear.task())
  await group([retrieve.task({ id: 1 }, { attempts: 3 })], clear.task())
  // @ts-expect-error the id is required
  retrieve.task({})
  // @ts-expect-error a group has an end
  await group([clear.task()])
  // @ts-expect-error a chain has a task
  await chain()
}

defineResource({
  summary: 'Few at once',
  request: Type.Object({ tenant: Type.String(), id: Type.Integer() }),
  task: {
    concurrency: {
      limit: 3,
      key(request, { user }) {
        is<typeof request, { tenant: string; id: number }>()
        return user?.id ?? request.tenant
      },
    },
  },
  perform: () => null,
})

defineResource({
  summary: 'No text',
  request: Type.Object({ id: Type.Integer() }),
  // @ts-expect-error a key is a text
  task: { concurrency: { limit: 3, key: ({ id }) => id } },
  perform: () => null,
})

// @ts-expect-error it has a limit
defineResource({ summary: 'No limit', task: { concurrency: {} }, perform: () => null })

export async function bulks(): Promise<void> {
  const all = await retrieve.bulk([{ id: 1 }])
  is<typeof all, City[]>()
  const some = await retrieve.bulk([{ id: 1 }], { ignoreErrors: true })
  is<typeof some, (City | null)[]>()
  const settled = await retrieve.bulk([{ id: 1 }], { settled: true })
  is<typeof settled, PromiseSettledResult<City>[]>()
  // @ts-expect-error the id is an integer
  await retrieve.bulk([{ id: 'x' }])
  // @ts-expect-error one request is no list
  await retrieve.bulk({ id: 1 })
}

export const definitions = [
  defineResource({
    summary: 'Wrong result',
    response: City,
    // @ts-expect-error the name is missing
    perform: () => ({ id: 1 }),
  }),
  defineResource({
    summary: 'Wrong promise',
    response: City,
    // @ts-expect-error the id is an integer
    perform: async () => ({ id: 'x', name: 'x' }),
  }),
  defineResource({
    summary: 'No result',
    // @ts-expect-error without a response schema the result is null
    perform: () => ({ id: 1 }),
  }),
  defineResource({
    summary: 'Wrong query',
    method: 'POST',
    request: City,
    // @ts-expect-error nothing of the request is called page
    query: ['id', 'page'],
    perform: () => null,
  }),
  defineResource({
    summary: 'Wrong method',
    // @ts-expect-error there is no such method
    method: 'FETCH',
    perform: () => null,
  }),
  defineResource({
    summary: 'Cached',
    request: Type.Object({ id: Type.Integer() }),
    response: City,
    cache: {
      ttl: 60_000,
      tags: ({ id }) => [`city:${id satisfies number}`],
      key: ({ id }) => id,
      when: ({ name }) => name !== '',
      anonymous: { ttl: 5000, tags: ({ id }) => [`${id satisfies number}`] },
    },
    schedule: { cron: '0 3 * * *', missed: 'once' },
    task: { attempts: 3, backoff: { type: 'fixed', delay: 5 } },
    perform: ({ id }) => ({ id, name: 'x' }),
  }),
  defineResource({
    summary: 'Wrong cache',
    // @ts-expect-error the ttl is missing
    cache: { stale: 5000 },
    perform: () => null,
  }),
  defineResource({
    summary: 'Wrong task',
    // @ts-expect-error a key is of one task
    task: { key: 'x' },
    perform: () => null,
  }),
  defineResource({
    summary: 'Wrong example',
    request: City,
    // @ts-expect-error the name is missing
    examples: { request: { id: 1 } },
    perform: () => null,
  }),
]

const cities = defineModule({ prefix: '/cities', resources: { list, retrieve, clear } })
const admin = defineModule({ prefix: '/admin', resources: { clear }, modules: { cities } })
const service = defineService({ name: 'test', modules: { cities, admin } })

export async function apps(): Promise<void> {
  const app = await createApp(service)
  const city = await app.resources.cities.retrieve({ id: 1 })
  is<typeof city, City>()
  is<keyof typeof app.resources.cities, 'list' | 'retrieve' | 'clear'>()
  // @ts-expect-error the id is an integer
  await app.resources.cities.retrieve({ id: 'x' })
  // @ts-expect-error the module has no such resource
  app.resources.cities.nope
  // @ts-expect-error the service has no such module
  app.resources.nope
  const deep = await app.resources.admin.cities.retrieve({ id: 1 })
  is<typeof deep, City>()
  is<keyof typeof app.resources.admin, 'clear' | 'cities'>()
  // @ts-expect-error the id is a number
  await app.resources.admin.cities.retrieve({ id: 'x' })
  // @ts-expect-error it is in the module within
  app.resources.admin.retrieve
  const named: App<{ cities: typeof cities; admin: typeof admin }> = app
  await named.inject('/cities')
  const ran = app.run(() => 5)
  is<typeof ran, number>()
}

const Row = Type.Object({
  id: Type.Integer(),
  name: Type.String(),
  kind: Type.Union([Type.Literal('town'), Type.Literal('city')]),
  size: Type.Integer(),
})
const rows = defineList(Row, {
  filters: {
    name: 'contains',
    kind: 'equals',
    part: { operator: 'contains', column: 'kind' },
    min_size: { operator: 'from', column: 'size' },
  },
  order: ['id', 'name'],
  key: 'id',
})

is<
  Static<typeof rows.request>,
  {
    name?: string
    kind?: 'town' | 'city'
    part?: string
    min_size?: number
    page?: number
    page_size?: number
    order?: string
  }
>()
is<
  Static<typeof rows.response>,
  { page: number; num_pages: number; total: number; results: Static<typeof Row>[] }
>()

const byCursor = defineList(
  Type.Object({ id: Type.Integer(), note: Type.Union([Type.String(), Type.Null()]) }),
  {
    filters: {
      id: 'in',
      noteless: { operator: 'null', column: 'note' },
      no_note: { operator: 'not', column: 'note' },
    },
    order: ['id'],
    key: 'id',
    pages: 'cursor',
  },
)

is<
  Static<typeof byCursor.request>,
  {
    id?: number[]
    noteless?: boolean
    no_note?: string[]
    cursor?: string
    page_size?: number
    order?: string
  }
>()
is<
  Static<typeof byCursor.response>,
  { next_cursor: string | null; results: { id: number; note: string | null }[] }
>()

interface Tables {
  row: { id: Generated<number>; name: string; kind: 'town' | 'city'; size: number }
  other: { id: number }
}

export async function lists(db: Kysely<Tables>): Promise<void> {
  const page = await rows.paginate(db.selectFrom('row').selectAll(), { kind: 'town', page: 2 })
  is<typeof page.results, Static<typeof Row>[]>()
  // @ts-expect-error the rows of the query have no name
  await rows.paginate(db.selectFrom('other').selectAll(), {})
  // @ts-expect-error there is no such kind
  await rows.paginate(db.selectFrom('row').selectAll(), { kind: 'sea' })
  // @ts-expect-error there is no such column to order by
  defineList(Row, { order: ['nope'], key: 'id' })
  // @ts-expect-error there is no such column to filter
  defineList(Row, { order: ['id'], key: 'id', filters: { nope: 'equals' } })
  // @ts-expect-error there is no such operator
  defineList(Row, { order: ['id'], key: 'id', filters: { name: 'like' } })
  // @ts-expect-error something has to be ordered by
  defineList(Row, { order: [], key: 'id' })
}

export function declared(): void {
  const FULL = defineError<[name: string, size: number]>('FULL', 409, '%s is full: %s')
  FULL('a', 1)
  FULL.with({ cause: new Error('x') }, 'a', 1)
  // @ts-expect-error the size is missing
  FULL('a')
  // @ts-expect-error the size is a number
  FULL('a', 'b')
}

export function defaults(): void {
  defineService({ name: 'a', modules: {}, defaults: { prod: { LOG_LEVEL: 'warn', MINE: 5 } } })
  // @ts-expect-error there is no such level
  defineService({ name: 'a', modules: {}, defaults: { prod: { LOG_LEVEL: 'loud' } } })
  // @ts-expect-error there is no such environment
  defineService({ name: 'a', modules: {}, defaults: { production: {} } })
}
