import { defineResource, group, Type } from 'plinth'
import { distance } from './distance.ts'
import { City } from './model.ts'

const id = City.schema.properties.id
const Distance = Type.Object({ id, distance_km: Type.Number() })
const Request = Type.Object({ from: id, to: Type.Array(id, { minItems: 1, maxItems: 10_000 }) })
const CHUNK = 500

/** One part of the work: some of the cities. */
export const measure = defineResource({
  summary: 'The distances from a city to some others',
  auth: 'public',
  expose: false,
  request: Request,
  response: Type.Array(Distance),
  async perform({ from, to }, { db }) {
    const rows = await db
      .selectFrom('city')
      .select(['id', 'lat', 'lon'])
      .where('id', 'in', [from, ...to])
      .execute()
    const places = new Map(rows.map((row) => [row.id, row]))
    const start = places.get(from)
    return to.flatMap((id) => {
      const place = places.get(id)
      return start && place ? [{ id, distance_km: distance(start, place) }] : []
    })
  },
})

/** What the parts have found, in one list. */
export const collect = defineResource({
  summary: 'Put the parts of a task together',
  auth: 'public',
  expose: false,
  response: Type.Array(Distance),
  async perform(_, { task }) {
    const parts = (await task?.childResults()) ?? []
    return parts.flat() as never
  },
})

export const distances = defineResource({
  summary: 'The distances from a city to many others, as a group of tasks',
  auth: 'public',
  method: 'POST',
  path: '/distances',
  status: 202,
  request: Request,
  response: Type.Object({ task_id: Type.String({ description: 'For `GET /tasks/:id`' }) }),
  examples: { request: { from: 2_988_507, to: [2_950_159, 2_643_743] } },
  async perform({ from, to }) {
    const parts = []
    for (let i = 0; i < to.length; i += CHUNK)
      parts.push(measure.task({ from, to: to.slice(i, i + CHUNK) }))
    const { task_id } = await group(parts, collect.task())
    return { task_id }
  },
})
