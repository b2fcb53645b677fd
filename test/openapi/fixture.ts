import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { Type } from 'typebox'
import docs from '../../plugins/docs.ts'
import envelopePlugin from '../../plugins/envelope.ts'
import health from '../../plugins/health.ts'
import resources from '../../plugins/resources.ts'
import { defineError, errors, notFound } from '../../src/errors.ts'
import type { EnvelopeName } from '../../src/http/envelope.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'

const City = Type.Object({
  id: Type.Integer({ minimum: 1 }),
  name: Type.String({ maxLength: 120 }),
  country: Type.String({ pattern: '^[A-Z]{2}$' }),
  elevation: Type.Union([Type.Number(), Type.Null()]),
})

const paris = { id: 1, name: 'Paris', country: 'FR', elevation: 35 }
const changed = new Date('2026-01-02T03:04:05Z')

function find(id: number): typeof paris {
  return id === paris.id ? paris : notFound('city', id)
}

const list = defineResource({
  summary: 'Cities',
  description: 'Those whose name begins with `name`, *in order*.',
  request: Type.Object({
    name: Type.Optional(Type.String({ description: 'How the name begins' })),
    country: Type.Optional(Type.Array(Type.String())),
    page: Type.Integer({ minimum: 1, default: 1 }),
  }),
  response: Type.Object({ count: Type.Integer(), items: Type.Array(City) }),
  examples: {
    request: { name: 'Par', country: ['FR', 'US'], page: 1 },
    response: { count: 1, items: [paris] },
  },
  perform: ({ page }) => ({ count: 1, items: page === 1 ? [paris] : [] }),
})

const retrieve = defineResource({
  summary: 'One city',
  path: '/:id',
  request: Type.Object({ id: Type.Integer({ minimum: 1, description: 'Its number' }) }),
  response: City,
  examples: { request: { id: 1 }, response: paris },
  etag: ({ id }) => `city-${id}`,
  lastModified: () => changed,
  perform: ({ id }) => find(id),
})

const create = defineResource({
  summary: 'Add a city',
  method: 'POST',
  status: 201,
  request: Type.Omit(City, ['id']),
  response: City,
  examples: { request: { name: 'Paris', country: 'FR', elevation: null }, response: paris },
  perform: (city) => ({ ...city, id: 2 }),
})

const createMany = defineResource({
  summary: 'Add many cities',
  method: 'POST',
  path: '/bulk',
  status: 201,
  request: Type.Array(Type.Omit(City, ['id']), { maxItems: 10 }),
  response: Type.Array(Type.Integer()),
  examples: { request: [{ name: 'Lyon', country: 'FR', elevation: 173 }], response: [2] },
  perform: (cities) => cities.map((_, i) => i + 2),
})

const replace = defineResource({
  summary: 'Replace a city',
  method: 'PUT',
  path: '/:id',
  query: ['notify'],
  request: Type.Object({ ...City.properties, notify: Type.Optional(Type.Boolean()) }),
  response: City,
  examples: { request: { ...paris, notify: true }, response: paris },
  etag: ({ id }) => `city-${id}`,
  perform: ({ notify: _, ...city }) => ({ ...city, id: find(city.id).id }),
})

const change = defineResource({
  summary: 'Change a city',
  method: 'PATCH',
  path: '/:id',
  timeout: 5000,
  request: Type.Object({ id: Type.Integer(), name: Type.Optional(Type.String({ minLength: 1 })) }),
  response: City,
  examples: { request: { id: 1, name: 'Lutetia' }, response: { ...paris, name: 'Lutetia' } },
  perform: ({ id, name }) => ({ ...find(id), ...(name && { name }) }),
})

const remove = defineResource({
  summary: 'Remove a city',
  method: 'DELETE',
  path: '/:id',
  request: Type.Object({ id: Type.Integer() }),
  examples: { request: { id: 1 }, response: null },
  perform: ({ id }) => {
    find(id)
    return null
  },
})

const motto = defineResource({
  summary: 'A text',
  path: '/motto',
  response: Type.String(),
  examples: { response: 'Fluctuat "nec" mergitur' },
  perform: () => 'Fluctuat "nec" mergitur',
})

const CityLost = defineError('CITY_LOST', 409, 'The city %s is lost')

const fail = defineResource({
  summary: 'Fails',
  path: '/fail',
  timeout: 30,
  errors: [CityLost, errors.CONFLICT],
  request: Type.Object({ how: Type.Enum(['crash', 'busy', 'hang']) }),
  examples: { request: { how: 'crash' } },
  perform({ how }, { signal }) {
    if (how === 'crash') throw new Error('a secret of the service')
    if (how === 'busy') throw errors.DATABASE_BUSY(5)
    return new Promise<null>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason))
    })
  },
})

export const modules = {
  cities: defineModule({
    prefix: '/cities',
    tags: ['Cities'],
    resources: { list, retrieve, create, createMany, replace, change, remove, motto, fail },
  }),
}

/** A service with a resource of every kind, and its document. */
export function createFixture(
  envelope: EnvelopeName,
  options: FastifyServerOptions = {},
): FastifyInstance {
  const app = Fastify(options)
  app.register(envelopePlugin, { envelope })
  app.register(docs, {
    title: 'Cities & more',
    version: '1.2.3',
    description: 'What *is* where.',
  })
  app.register(health)
  app.register(resources, { modules, strict: true })
  return app
}
