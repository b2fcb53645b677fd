const EARTH_RADIUS_KM = 6371.0088

interface Place {
  lat: number
  lon: number
}

/** The great-circle distance in km, to the metre (haversine formula: exact for near places, too). */
export function distance(a: Place, b: Place): number {
  const half = (from: number, to: number) => Math.sin(radians(to - from) / 2) ** 2
  const h =
    half(a.lat, b.lat) + Math.cos(radians(a.lat)) * Math.cos(radians(b.lat)) * half(a.lon, b.lon)
  return Math.round(2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(h))) * 1000) / 1000
}

/** The angle, in degrees, that two places are apart whose distance is `km`. */
export function arc(km: number): number {
  return (km / EARTH_RADIUS_KM) * (180 / Math.PI)
}

export function radians(degrees: number): number {
  return (degrees * Math.PI) / 180
}
