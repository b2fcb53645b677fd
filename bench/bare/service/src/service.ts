// What ../server.ts does, as a service of Plinth.
import {
  defineList,
  defineModule,
  defineResource,
  defineService,
  notFound,
  prepareQuery,
  Type,
} from 'plinth'
import { City } from '../../../../examples/atlas/src/cities/model.ts'
import { Country } from '../../../../examples/atlas/src/countries/model.ts'

const Person = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 64 }),
  age: Type.Integer({ minimum: 0, maximum: 150 }),
  tags: Type.Array(Type.String({ maxLength: 32 }), { maxItems: 10 }),
  email: Type.String({ format: 'email' }),
})

const echo = defineResource({
  summary: 'Greet a person',
  method: 'POST',
  request: Person,
  response: Type.Object({ ...Person.properties, greeting: Type.String() }),
  perform: (person) => ({ ...person, greeting: `Hello, ${person.name}!` }),
})

const cities = defineList(City.schema, {
  from: (db) => db.selectFrom('city').selectAll(),
  filters: { country: 'equals' },
  order: ['population', 'id'],
  key: 'id',
  pageSize: 20,
  maxPageSize: 100,
})

const list = defineResource({
  summary: 'Cities, page by page',
  request: cities.request,
  response: cities.response,
  perform: (input, { db }) => cities.paginate(db, input),
})

const byId = Type.Object({ id: City.schema.properties.id })

const byKey = prepareQuery((db, id: number) =>
  db.selectFrom('city').selectAll().where('id', '=', id),
)

const retrieve = defineResource({
  summary: 'One city',
  path: '/:id',
  request: byId,
  response: City.schema,
  async perform({ id }, { db }) {
    const [city] = await byKey(db, id)
    return city ?? notFound('city', id)
  },
})

const cached = defineResource({
  ...retrieve.definition,
  summary: 'One city, cached',
  cache: { ttl: '1m', perUser: false },
})

export default defineService({
  name: 'bare',
  models: [Country, City],
  modules: {
    echo: defineModule({ prefix: '/echo', resources: { echo } }),
    cities: defineModule({ prefix: '/cities', resources: { list, retrieve } }),
    cached: defineModule({ prefix: '/cached', resources: { cached } }),
  },
})
