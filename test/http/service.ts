import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { Type } from 'typebox'
import { defineList } from '../../src/crud/list.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, type LogLine, type ServiceOptions } from '../helpers/app.ts'
import { ask, listen } from '../helpers/wire.ts'

const Thing = Type.Object({ id: Type.Integer({ minimum: 1 }), name: Type.String() })
const things = defineList(Thing, { filters: { name: 'contains' }, order: ['id'], key: 'id' })

const list = defineResource({
  summary: 'List',
  request: things.request,
  response: Type.Unknown(),
  perform: (request) => request,
})
const create = defineResource({
  summary: 'Create',
  method: 'POST',
  status: 201,
  request: Type.Object({ name: Type.String(), note: Type.Optional(Type.String()) }),
  response: Thing,
  perform: ({ name }) => ({ id: 1, name }),
})
const retrieve = defineResource({
  summary: 'Retrieve',
  path: '/:id',
  request: Type.Object({ id: Thing.properties.id }),
  response: Thing,
  perform: ({ id }) => ({ id, name: 'x' }),
})

/** A service with a few things, listening; when the test ends it must still answer `/ping`. */
export async function listenWithThings(
  t: Test,
  options: ServiceOptions = {},
): Promise<{ app: FastifyInstance; port: number; logs: LogLine[] }> {
  const { app, logs } = await createService(t, { list, create, retrieve }, options)
  const port = await listen(app)
  return { app, port, logs }
}

/** Asserts that the server on `port` still answers. */
export async function assertAlive(t: Test, port: number): Promise<void> {
  const answer = await ask(port, 'GET /ping')
  t.equal(answer.status, 200, 'the server still answers')
}
