import { fileURLToPath } from 'node:url'
import {
  defineApi,
  defineError,
  defineModule,
  defineResource,
  defineService,
  errors,
  notFound,
  type Tables,
  Type,
} from 'plinth'
import { definePermission } from 'plinth/auth'
import { factory, type TestApp } from 'plinth/testing'
import { Customer, Order } from './models.ts'

const models = [Customer, Order]

declare module 'plinth' {
  interface DatabaseTables extends Tables<typeof models> {}
}

const isClerk = definePermission({
  name: 'isClerk',
  reason: 'only clerks may do this',
  allows: ({ user }) => user?.id.startsWith('clerk') ?? false,
})

const Id = Type.Object({ id: Type.Integer({ minimum: 1 }) })

export const retrieve = defineResource({
  summary: 'An order',
  path: '/:id',
  auth: 'public',
  request: Id,
  response: Order.schema,
  cache: { ttl: 60_000, perUser: false, tags: ({ id }) => [`order:${id}`] },
  async perform({ id }, { db }) {
    const found = await db
      .selectFrom('shop_order')
      .select(Order.columns)
      .where('id', '=', id)
      .executeTakeFirst()
    return found ?? notFound('order', id)
  },
})

/** Sends an order, unless it is too large: that takes several tries. */
export const ship = defineResource({
  summary: 'Ship an order',
  expose: false,
  task: { attempts: 3, backoff: { type: 'fixed', delay: 60_000 } },
  request: Id,
  response: Type.Object({ by: Type.String() }),
  async perform({ id }, { db, task, user, cache }) {
    const { total } = await retrieve.cacheless({ id })
    if (total > 900 && (task?.attempt ?? 1) < 2) throw new Error('the van is full')
    await db.updateTable('shop_order').set({ state: 'shipped' }).where('id', '=', id).execute()
    await cache.invalidate(`order:${id}`)
    return { by: user?.id ?? 'nobody' }
  },
})

export const create = defineResource({
  summary: 'Order something',
  method: 'POST',
  status: 201,
  request: Type.Object({ customer: Order.schema.properties.customer, total: Type.Integer() }),
  response: Order.schema,
  async perform(input, { db }) {
    return await db.transaction().execute(async (transaction) => {
      const row = { ...input, state: 'new' }
      const { insertId } = await transaction.insertInto('shop_order').values(row).executeTakeFirst()
      const id = Number(insertId)
      await ship.enqueue({ id }, { delay: 60_000 })
      return await retrieve.cacheless({ id })
    })
  },
})

export const remove = defineResource({
  summary: 'Take an order back',
  method: 'DELETE',
  path: '/:id',
  permissions: isClerk,
  request: Id,
  async perform({ id }, { db }) {
    await db.deleteFrom('shop_order').where('id', '=', id).execute()
    return null
  },
})

export const expire = defineResource({
  summary: 'Give up what nobody has shipped',
  expose: false,
  permissions: isClerk,
  schedule: '30 * * * *',
  response: Type.Integer(),
  async perform(_, { db }) {
    const { numUpdatedRows } = await db
      .updateTable('shop_order')
      .set({ state: new Date().toISOString().slice(11, 16) })
      .where('state', '=', 'new')
      .executeTakeFirst()
    return Number(numUpdatedRows)
  },
})

export const whoami = defineResource({
  summary: 'Who asks',
  method: 'POST',
  path: '/whoami',
  auth: 'optional',
  request: Type.Object({ text: Type.Optional(Type.String()) }),
  response: Type.Object({ id: Type.Union([Type.String(), Type.Null()]) }),
  perform: (_, { user }) => ({ id: user?.id ?? null }),
})

/** The same for everybody, though not by every way. */
export const different = defineResource({
  summary: 'Another thing by HTTP',
  path: '/different',
  auth: 'public',
  response: Type.String(),
  perform: (_, { request }) => (request ? 'by HTTP' : 'in process'),
})

const UNKNOWN = defineError<[currency: string]>('CURRENCY_UNKNOWN', 404, 'Nobody pays in %s')

const bank = defineApi({
  name: 'bank',
  baseUrl: 'https://bank.example/v1',
  envelope: 'standard',
  retry: { delay: 1, maxDelay: 2 },
  errors: { 404: () => UNKNOWN('that') },
})

export const rate = bank.resource({
  summary: 'What a currency is worth',
  auth: 'public',
  path: '/rates/{currency}',
  request: Type.Object({ currency: Type.String(), day: Type.Optional(Type.String()) }),
  response: Type.Object({
    currency: Type.String({ pattern: '^[A-Z]{3}$' }),
    rate: Type.Number({ minimum: 0.01, maximum: 10 }),
  }),
})

export const transfer = bank.resource({
  summary: 'Send money',
  auth: 'public',
  method: 'POST',
  path: '/transfers',
  request: Type.Object({ amount: Type.Number() }),
  response: Type.Object({ id: Type.Integer() }),
})

export const price = defineResource({
  summary: 'What an order costs elsewhere',
  path: '/:id/price/:currency',
  auth: 'public',
  request: Type.Object({ id: Type.Integer({ minimum: 1 }), currency: Type.String() }),
  response: Type.Number(),
  errors: [UNKNOWN],
  async perform({ id, currency }) {
    const { total } = await retrieve({ id })
    return total * (await rate({ currency })).rate
  },
})

export const shop = defineService({
  name: 'shop',
  models,
  modules: {
    orders: defineModule({
      prefix: '/orders',
      auth: 'required',
      resources: { retrieve, create, remove, ship, expire, whoami, different, price },
    }),
    bank: defineModule({ resources: { rate, transfer } }),
  },
  auth: true,
  loadUser: (id) => {
    if (id === 'nobody-knows') throw errors.NOT_FOUND('user', id)
    return { id }
  },
})

export const root = fileURLToPath(new URL('.', import.meta.url))

export type Shop = TestApp<typeof shop.modules>

/** Two customers, and an order of the first. */
export async function addOrder({ db }: Shop): Promise<void> {
  const [first] = await factory(Customer).createMany(db, 2)
  const row = { customer: first?.id ?? 0, total: 10, state: 'new' }
  await db.insertInto('shop_order').values(row).execute()
}

export const databases = { sqlite: 'sqlite', mysql: process.env.TEST_MYSQL_URL as string }
