import { defineModule, defineResource, Type } from 'plinth'
import { atlas } from './atlas.ts'

const stops = defineResource({
  summary: 'Where to stop near a city',
  path: '/:city/stops',
  request: Type.Object({
    city: Type.Integer({ minimum: 1, description: 'As Atlas numbers it' }),
    limit: Type.Integer({ minimum: 1, maximum: 20, default: 5 }),
  }),
  response: Type.Object({
    from: Type.String(),
    stops: Type.Array(Type.Object({ name: Type.String(), km: Type.Integer() })),
  }),
  examples: { request: { city: 2_988_507, limit: 3 } },
  async perform({ city, limit }) {
    const { id, name, lat, lon } = await atlas.cities.retrieve({ id: city })
    // The nearest of all is the city itself.
    const near = await atlas.cities.nearest({ lat, lon, limit: limit + 1 })
    const others = near.filter((one) => one.id !== id).slice(0, limit)
    return {
      from: name,
      stops: others.map(({ name, distance_km }) => ({ name, km: Math.round(distance_km) })),
    }
  },
})

export const journeys = defineModule({
  prefix: '/journeys',
  tags: ['Journeys'],
  resources: { stops },
})
