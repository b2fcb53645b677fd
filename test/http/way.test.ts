import { fileURLToPath } from 'node:url'
import t from 'tap'
import { definePermission } from '../../src/auth/permission.ts'
import { defineList, defineResource, Type } from '../../src/index.ts'
import { createService } from '../helpers/app.ts'

const SRC = fileURLToPath(new URL('../../src/', import.meta.url))

const Place = Type.Object({ id: Type.Integer() })
type Tables = {
  place: { id: number }
}

/** The folders of `src` that a stack goes through, from its begin to its end: each once for all frames that follow one another. */
function roomsOf(stack: string): string[] {
  const rooms = stack.split('\n').flatMap((line) => line.split(SRC)[1]?.split('/')[0] ?? [])
  return rooms.reverse().filter((room, i, all) => room !== all[i - 1])
}

// As CONTRIBUTING.md tells it: no room twice.
t.test('a parameter is in each room once on its way from its route to SQL', async (t) => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 200
  t.teardown(() => {
    Error.stackTraceLimit = limit
  })
  let asked = ''
  const isAsked = definePermission({
    name: 'isAsked',
    reason: 'it is asked',
    allows: () => {
      asked = new Error().stack as string
      return true
    },
  })
  const list = defineList(Place, {
    from: (db) => db.withTables<Tables>().selectFrom('place').selectAll(),
    order: ['id'],
    key: 'id',
    filters: { id: 'equals' },
  })
  const retrieve = defineResource({
    summary: 'One place',
    path: '/:id',
    request: Place,
    response: list.response,
    auth: 'optional',
    permissions: isAsked,
    perform: async ({ id }, { db }) => await list.paginate(db, { id }),
  })
  const variables = { DATABASE_URL: 'sqlite::memory:' }
  const { app, logs } = await createService(t, { retrieve }, { auth: true, variables })
  // There is no such table: what the statement fails with knows the way to it.
  t.equal((await app.inject('/things/42')).statusCode, 500)
  const [line] = logs.filter(({ err }) => err !== undefined) as unknown as [
    { err: { stack: string } },
  ]
  const [sinceHandler = ''] = /^.*?serveResource[^\n]*/s.exec(asked) ?? []
  t.strictSame(roomsOf(sinceHandler), ['http', 'resource', 'auth'])
  const [ofStatement = ''] = line.err.stack.split('\ncaused by')
  t.strictSame(roomsOf(ofStatement), ['resource', 'crud', 'database'])
})
