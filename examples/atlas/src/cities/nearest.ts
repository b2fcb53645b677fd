import { type Context, defineResource, type Static, Type } from 'plinth'
import { sql } from 'plinth/sql'
import { arc, distance, radians } from './distance.ts'
import { City } from './model.ts'

const Near = Type.Object({
  lat: City.schema.properties.lat,
  lon: City.schema.properties.lon,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 10 })),
})

const NearCity = Type.Object({
  ...City.schema.properties,
  distance_km: Type.Number({ description: 'On a sphere of the mean radius of the earth' }),
})

export const nearest = defineResource({
  summary: 'The cities nearest to a place',
  auth: 'public',
  path: '/nearest',
  request: Near,
  response: Type.Array(NearCity),
  examples: { request: { lat: 48.85, lon: 2.35, limit: 10 } },
  async perform({ lat, lon, limit = 10 }, { db }) {
    // A city no further than so many degrees of arc is no more degrees of latitude away, and latitude has
    // an index: the band is widened until it surely holds the nearest ones.
    for (let degrees = 1; ; degrees *= 4) {
      const found = await within(db, { lat, lon, limit, degrees })
      const last = found.at(-1)
      const complete =
        found.length === limit && last !== undefined && arc(last.distance_km) <= degrees
      if (complete || degrees >= 180) return found
    }
  },
})

interface Band {
  lat: number
  lon: number
  limit: number
  degrees: number
}

async function within(
  db: Context['db'],
  { lat, lon, limit, degrees }: Band,
): Promise<Static<typeof NearCity>[]> {
  const { sin, cos } = { sin: Math.sin(radians(lat)), cos: Math.cos(radians(lat)) }
  // The cosine of the angle between the two places (spherical law of cosines): greatest for the nearest.
  const cosine = sql<number>`sin(radians(lat)) * ${sin} + cos(radians(lat)) * ${cos} * cos(radians(lon - ${lon}))`
  const rows = await db
    .selectFrom('city')
    .select(City.columns)
    .where('lat', '>=', lat - degrees)
    .where('lat', '<=', lat + degrees)
    .orderBy(cosine, 'desc')
    .orderBy('id')
    .limit(limit)
    .execute()
  return rows.map((row) => ({ ...row, distance_km: distance({ lat, lon }, row) }))
}
