import { sql } from 'kysely'
import { type Context, defineResource, type Static, Type } from 'plinth'
import { City } from './model.ts'

const EARTH_RADIUS_KM = 6371.0088

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
    .selectAll()
    .where('lat', '>=', lat - degrees)
    .where('lat', '<=', lat + degrees)
    .orderBy(cosine, 'desc')
    .orderBy('id')
    .limit(limit)
    .execute()
  return rows.map((row) => ({ ...row, distance_km: distance({ lat, lon }, row) }))
}

/** The great-circle distance in km, to the metre (haversine formula: exact for near places, too). */
function distance(a: { lat: number; lon: number }, b: { lat: number; lon: number }): number {
  const half = (from: number, to: number) => Math.sin(radians(to - from) / 2) ** 2
  const h =
    half(a.lat, b.lat) + Math.cos(radians(a.lat)) * Math.cos(radians(b.lat)) * half(a.lon, b.lon)
  return Math.round(2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(h))) * 1000) / 1000
}

function arc(km: number): number {
  return (km / EARTH_RADIUS_KM) * (180 / Math.PI)
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180
}
