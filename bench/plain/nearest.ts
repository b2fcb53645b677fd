import { sql } from 'kysely'
import type { Database } from './database.ts'
import type { Near } from './schemas.ts'

const EARTH_RADIUS_KM = 6371.0088

/** Widens a band of latitudes until it surely holds the nearest cities. */
export async function nearestCities(db: Database, near: Near) {
  for (let degrees = 1; ; degrees *= 4) {
    const found = await citiesWithin(db, near, degrees)
    const last = found.at(-1)
    const reach = last && degreesOf(last.distance_km / EARTH_RADIUS_KM)
    if (degrees >= 180 || (found.length === near.limit && reach !== undefined && reach <= degrees))
      return found
  }
}

async function citiesWithin(db: Database, { lat, lon, limit }: Near, degrees: number) {
  const sin = Math.sin(radians(lat))
  const cos = Math.cos(radians(lat))
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

function distance(a: { lat: number; lon: number }, b: { lat: number; lon: number }): number {
  const half = (from: number, to: number) => Math.sin(radians(to - from) / 2) ** 2
  const h =
    half(a.lat, b.lat) + Math.cos(radians(a.lat)) * Math.cos(radians(b.lat)) * half(a.lon, b.lon)
  return Math.round(2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(h))) * 1000) / 1000
}

const radians = (degrees: number) => (degrees * Math.PI) / 180
const degreesOf = (radians: number) => radians * (180 / Math.PI)
