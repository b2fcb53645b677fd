import Type, { type Static, type TProperties } from 'typebox'

/** An object that takes nothing else. */
const closed = <T extends TProperties>(properties: T) =>
  Type.Object(properties, { additionalProperties: false })

const countryCode = Type.String({ pattern: '^[A-Z]{2}$' })
const id = Type.Integer({ minimum: 1 })
const cityFields = {
  name: Type.String({ minLength: 1, maxLength: 120 }),
  country: countryCode,
  population: Type.Integer({ minimum: 0, maximum: 2_000_000_000 }),
  lat: Type.Number({ minimum: -90, maximum: 90 }),
  lon: Type.Number({ minimum: -180, maximum: 180 }),
}

export const CityInput = closed(cityFields)
export const CityPatch = Type.Partial(CityInput)
export const City = Type.Object({
  id,
  ...cityFields,
  created_at: Type.String({ format: 'date-time' }),
  updated_at: Type.String({ format: 'date-time' }),
})
export const NearCity = Type.Object({ ...City.properties, distance_km: Type.Number() })

const text = Type.Unsafe<string | null>({ type: ['string', 'null'] })
export const Country = Type.Object({
  code: countryCode,
  name: Type.String(),
  capital: text,
  region: Type.String(),
  subregion: text,
  area: Type.Unsafe<number | null>({ type: ['number', 'null'] }),
  lat: Type.Number(),
  lon: Type.Number(),
  flag: Type.String(),
})
export const CountryWithTotals = Type.Object({
  ...Country.properties,
  totals: Type.Object({ cities: Type.Integer(), population: Type.Integer() }),
})

export const ById = closed({ id })
export const ByCode = closed({ code: countryCode })
export const Nothing = closed({})
export const Near = closed({
  lat: cityFields.lat,
  lon: cityFields.lon,
  limit: Type.Integer({ minimum: 1, maximum: 100, default: 10 }),
})

const page = {
  page: Type.Integer({ minimum: 1, maximum: 1_000_000, default: 1 }),
  page_size: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
}
const order = (columns: string) =>
  Type.Optional(Type.String({ pattern: `^-?(${columns})(,-?(${columns}))*$` }))

export const CityQuery = closed({
  country: Type.Optional(countryCode),
  name: Type.Optional(cityFields.name),
  min_population: Type.Optional(cityFields.population),
  max_population: Type.Optional(cityFields.population),
  order: order('id|name|country|population'),
  ...page,
})
export const CountryQuery = closed({
  region: Type.Optional(Type.String()),
  name: Type.Optional(Type.String()),
  order: order('code|name|area'),
  ...page,
  page_size: Type.Integer({ minimum: 1, maximum: 1000, default: 300 }),
})

export const pageOf = (row: typeof City | typeof Country) =>
  Type.Object({
    page: Type.Integer(),
    num_pages: Type.Integer(),
    total: Type.Integer(),
    results: Type.Array(row),
  })

export type CityInput = Static<typeof CityInput>
export type CityPatch = Static<typeof CityPatch>
export type CityQuery = Static<typeof CityQuery>
export type CountryQuery = Static<typeof CountryQuery>
export type ById = Static<typeof ById>
export type ByCode = Static<typeof ByCode>
export type Near = Static<typeof Near>
