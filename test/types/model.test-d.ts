// Nothing here runs: `npm run check:types` fails where a type is not what is said, or an error does not come.
import type { ColumnType, Generated, Insertable, Kysely, Selectable } from 'kysely'
import {
  type Context,
  column,
  type Db,
  decimal,
  defineModel,
  defineModule,
  defineScope,
  modelResources,
  restore,
  type Static,
  type Tables,
  Type,
  timestamp,
  withDeleted,
} from 'plinth'

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

function is<A, B>(..._proof: Equal<A, B> extends true ? [] : [expected: A, got: B]): void {}

const Country = defineModel('country', {
  columns: { code: Type.String({ maxLength: 2 }), name: Type.String({ maxLength: 80 }) },
  primaryKey: ['code'],
})

const City = defineModel('city', {
  columns: {
    id: Type.Integer(),
    name: Type.String({ maxLength: 120 }),
    country: Type.String({ maxLength: 2 }),
    kind: column(Type.Enum(['town', 'city']), { default: 'town' }),
    price: Type.Optional(decimal(8, 2)),
    seen: timestamp(),
    left: Type.Optional(timestamp()),
    big: column(Type.Integer(), { type: 'bigint' }),
    extra: Type.Object({ tags: Type.Array(Type.String()) }),
    note: Type.Union([Type.String(), Type.Null()]),
  },
  generated: ['id'],
  indexes: [['country', 'created_at']],
  foreignKeys: { country: 'country.code' },
  audit: true,
  softDelete: true,
})

const models = [Country, City]

is<
  Static<typeof City.schema>,
  {
    id: number
    name: string
    country: string
    kind: 'town' | 'city'
    price: string | null
    seen: string
    left: string | null
    big: number
    extra: { tags: string[] }
    note: string | null
    created_at: string
    created_by: string | null
    updated_at: string
    updated_by: string | null
  }
>()
is<
  Static<typeof City.input>,
  {
    name: string
    country: string
    kind?: 'town' | 'city'
    price?: string | null
    seen: string
    left?: string | null
    big: number
    extra: { tags: string[] }
    note?: string | null
  }
>()
is<Static<typeof Country.patch>, { code?: string; name?: string }>()

type All = Tables<typeof models>
is<keyof All, 'country' | 'city'>()
is<All['country'], { code: string; name: string }>()
is<All['city']['id'], ColumnType<number, number | undefined, number>>()
is<All['city']['id'], Generated<number>>()
is<All['city']['kind'], ColumnType<'town' | 'city', 'town' | 'city' | undefined, 'town' | 'city'>>()
is<All['city']['price'], string | null>()
is<All['city']['seen'], ColumnType<string, Date, Date>>()
is<All['city']['left'], ColumnType<string | null, Date | null, Date | null>>()
is<All['city']['big'], number | bigint>()
is<All['city']['extra'], { tags: string[] }>()
is<All['city']['created_at'], ColumnType<string, Date | undefined, Date>>()
is<All['city']['deleted_at'], ColumnType<string | null, Date | null, Date | null>>()

interface Declared extends Tables<typeof models> {}
is<Selectable<Declared['country']>, { code: string; name: string }>()

const row: Insertable<Declared['city']> = {
  name: 'x',
  country: 'FR',
  seen: new Date(),
  big: 1n,
  extra: { tags: [] },
}

export async function queries(db: Db<typeof models>, declared: Kysely<Declared>): Promise<void> {
  await declared.insertInto('city').values(row).execute()
  await db.insertInto('city').values(row).execute()
  const city = db.insertInto('city')
  // @ts-expect-error a point in time is written as a Date
  city.values({ ...row, seen: '2026-01-01T00:00:00Z' })
  // @ts-expect-error the name is missing
  await db.insertInto('country').values({ code: 'FR' }).execute()
  const found = await withDeleted(db).selectFrom('city').selectAll().executeTakeFirstOrThrow()
  is<typeof found.deleted_at, string | null>()
  is<typeof found.seen, string>()
  await restore(db, 'city').where('city.id', '=', 1).execute()
  // @ts-expect-error there is no such table
  restore(db, 'nope')
}

export const definitions = [
  // @ts-expect-error nothing of that name is generated
  defineModel('x', { columns: { id: Type.Integer() }, generated: ['nope'] }),
  // @ts-expect-error there is no such column
  defineModel('x', { columns: { id: Type.Integer() }, indexes: [['nope']] }),
  // @ts-expect-error there is no such column
  defineModel('x', { columns: { id: Type.Integer() }, primaryKey: ['nope'] }),
  // @ts-expect-error a table and a column
  defineModel('x', { columns: { id: Type.Integer() }, foreignKeys: { id: 'country' } }),
  // @ts-expect-error there is no such type
  defineModel('x', { columns: { id: column(Type.Integer(), { type: 'money' }) } }),
  // @ts-expect-error there is no such audit column
  defineModel('x', { columns: { id: Type.Integer() }, audit: ['made_at'] }),
]

const cities = modelResources(City, {
  list: {
    filters: { country: 'equals', from: { operator: 'from', column: 'price' } },
    search: ['name'],
    order: ['name'],
    fields: ['id', 'name'],
  },
})
is<
  Static<typeof cities.list.request>,
  {
    country?: string
    from?: string
    page?: number
    page_size?: number
    order?: string
    search?: string
    fields?: string
  }
>()

export async function rows(db: Db<typeof models>): Promise<void> {
  const [row] = await db.selectFrom('city').select(City.columns).execute()
  type Row = NonNullable<typeof row>
  is<keyof Row, keyof Static<typeof City.schema>>()
  // @ts-expect-error it is not what the API shows
  is<Row['deleted_at'], string | null>()
  // @ts-expect-error there is no such column
  City.columns.includes('deleted_at')
}

export async function calls(): Promise<void> {
  const city = await cities.retrieve({ id: 1 })
  is<typeof city, Static<typeof City.schema>>()
  const { results } = await cities.list({ fields: 'id' })
  is<(typeof results)[number]['name'], string | undefined>()
  const keys = await cities.createMany([])
  is<typeof keys, { id: number }[]>()
  await cities.update({ id: 1, name: 'x' })
  // @ts-expect-error the id is missing
  await cities.update({ name: 'x' })
  // @ts-expect-error who made it is not the client's to say
  await cities.update({ id: 1, created_by: 'x' })
  const country = await modelResources(Country).replace({ code: 'FR', name: 'x' })
  is<typeof country, { code: string; name: string }>()
  modelResources(Country, { list: { order: ['name'] } })
  const few = modelResources(City, { only: ['list', 'retrieve'] })
  is<keyof typeof few, 'list' | 'retrieve'>()
  defineModule({ prefix: '/cities', resources: { ...few, retrieve: cities.retrieve } })
  // @ts-expect-error there is no such column
  modelResources(City, { list: { search: ['nope'] } })
  // @ts-expect-error there is no such column
  modelResources(City, { list: { filters: { nope: 'equals' } } })
}

modelResources(City, { scope: ({ user }, query) => query.where('country', '=', user.id) })
// @ts-expect-error there is no such column
modelResources(City, { scope: ({ user }, query) => query.where('owner', '=', user.id) })
// @ts-expect-error nothing is returned
modelResources(City, { scope: ({ user }, query) => void query.where('country', '=', user.id) })
const french = defineScope(City, (_, query) => query.where('city.country', '=', 'FR'))
modelResources(City, { scope: french })
// @ts-expect-error it may be nobody
defineScope(City, ({ user }, query) => query.where('country', '=', user.id), { nobody: true })

export async function scoped(db: Db<typeof models>, context: Context): Promise<void> {
  const [city] = await french(context, db.selectFrom('city').select('name')).execute()
  is<typeof city, { name: string } | undefined>()
  await french(context, db.updateTable('city').set({ name: 'x' })).execute()
  // @ts-expect-error rows that are inserted are in no scope yet
  french(context, db.insertInto('city').values(row))
}

const hiding = modelResources(City, {
  fields: { hidden: ['note'], readOnly: ['kind'], writeOnly: ['big'] },
  fill: { country: ({ user }) => user.id },
  list: { filters: { kind: 'equals' } },
})

export async function hidden(): Promise<void> {
  const city = await hiding.retrieve({ id: 1 })
  is<keyof typeof city, Exclude<keyof Static<typeof City.schema>, 'note' | 'big'>>()
  const seen = new Date().toISOString()
  await hiding.create({ name: 'x', seen, big: 1, extra: { tags: [] } })
  // @ts-expect-error it is hidden
  await hiding.update({ id: 1, note: 'x' })
  // @ts-expect-error it is read-only
  await hiding.update({ id: 1, kind: 'town' })
  // @ts-expect-error it is filled in
  await hiding.update({ id: 1, country: 'FR' })
  // @ts-expect-error it is hidden
  modelResources(City, { fields: { hidden: ['note'] }, list: { filters: { note: 'equals' } } })
  // @ts-expect-error it is only written
  modelResources(City, { fields: { writeOnly: ['note'] }, list: { order: ['note'] } })
  // @ts-expect-error there is no such column
  modelResources(City, { fields: { hidden: ['nope'] } })
  // @ts-expect-error a country is a text
  modelResources(City, { fill: { country: () => 1 } })
}
