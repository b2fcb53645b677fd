import { connect } from 'node:net'
import type { Kysely } from 'kysely'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import signature from '../../plugins/signature.ts'
import { defineService } from '../../src/define-service.ts'
import { createClient } from '../../src/remote/client.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createGate, createService } from '../helpers/app.ts'
import { databaseDrivers } from '../helpers/drivers.ts'
import { serveBytes } from '../helpers/upstream.ts'

interface Tables {
  payment: { cents: number }
}

const gates = { begun: createGate(), go: createGate() }

const pay = defineResource({
  summary: 'Pay',
  method: 'POST',
  path: '/:to',
  request: Type.Object({ to: Type.String(), cents: Type.Integer() }),
  response: Type.Object({ key: Type.String() }),
  idempotency: 'required',
  async: true,
  async perform({ cents }, { db, request }) {
    gates.begun.open()
    await gates.go.opened
    await (db as unknown as Kysely<Tables>).insertInto('payment').values({ cents }).execute()
    return { key: String(request?.headers['idempotency-key']) }
  },
})
const note = defineResource({
  summary: 'Note',
  method: 'POST',
  path: '/notes',
  response: Type.Union([Type.String(), Type.Null()]),
  perform: (_, { request }) => (request?.headers['idempotency-key'] as string) ?? null,
})
const shop = defineService({
  name: 'shop',
  modules: { shop: defineModule({ prefix: '/shop', resources: { pay, note } }) },
})

/** What is at `url`, of which what it answers first is lost: when it comes, or before that. */
async function loseAnswer(t: Test, url: string, when: 'late' | 'early') {
  const { hostname, port } = new URL(url)
  const seen = { posts: 0, statuses: [] as string[], signatures: [] as string[] }
  const lossy = await serveBytes(t, (socket) => {
    const to = connect(Number(port), hostname)
    to.on('error', () => {})
    t.teardown(() => to.destroy())
    let isLost = false
    socket.on('data', (bytes) => {
      const text = bytes.toString('latin1')
      if (text.startsWith('POST ')) {
        isLost = ++seen.posts === 1
        seen.signatures.push(/^signature: (.+)$/im.exec(text)?.[1] ?? '')
      }
      to.write(bytes)
      // The other end goes on, and nobody hears of it.
      if (isLost && when === 'early') void gates.begun.opened.then(() => socket.destroy())
    })
    to.on('data', (bytes) => {
      const [status] = /(?<=^HTTP\/1.1 )\d+/.exec(bytes.toString('latin1')) ?? []
      if (status) seen.statuses.push(status)
      if (status === '409') gates.go.open()
      if (isLost) socket.destroy()
      else socket.write(bytes)
    })
  })
  return { lossy, seen }
}

for (const { name, url: place } of databaseDrivers)
  for (const when of ['late', 'early'] as const)
    t.test(`an answer is lost (${when}), and what was asked is done once: ${name}`, async (t) => {
      Object.assign(gates, { begun: createGate(), go: createGate() })
      if (when === 'late') gates.go.open()
      const variables = { DATABASE_URL: await place(t) }
      const { app } = await createService(t, {}, { ...shop, variables } as never)
      const db = app.db as unknown as Kysely<Tables>
      await db.schema.createTable('payment').addColumn('cents', 'integer').execute()
      const url = await app.listen({ host: '127.0.0.1', port: 0 })
      const { lossy, seen } = await loseAnswer(t, url, when)
      const orders = await createService(t, {}, { name: 'orders' })
      // The first may take a while, and what comes meanwhile is told to come again.
      const retry = { delay: 1, attempts: 10 }
      const client = createClient<typeof shop>({ url: lossy, breaker: false, retry })
      const { key } = await orders.app.run(() => client.shop.pay({ to: 'ann', cents: 500 }))
      t.match(key, /^"[\w-]{36}"$/)
      t.strictSame(await db.selectFrom('payment').selectAll().execute(), [{ cents: 500 }])
      // The contract, the answer that was lost, and the same again.
      t.strictSame(
        seen.statuses.filter((status) => status !== '409'),
        ['200', '200', '200'],
      )
      t.equal(seen.statuses.includes('409'), when === 'early')
      // Another call is another payment.
      const { key: other } = await orders.app.run(() => client.shop.pay({ to: 'ann', cents: 500 }))
      t.not(other, key)
      t.equal((await db.selectFrom('payment').selectAll().execute()).length, 2)
      const task = await orders.app.run(() => client.shop.pay.enqueue({ to: 'bob', cents: 7 }))
      t.type(task.task_id, 'string')
      t.equal(await orders.app.run(() => client.shop.note()), null, 'nobody keeps what it answers')
    })

t.test('what is repeated is signed anew: a signature counts once', async (t) => {
  Object.assign(gates, { begun: createGate(), go: createGate() })
  gates.go.open()
  const secret = 'of the orders, and of nobody else at all'
  const closed = {
    ...shop,
    auth: true,
    plugins: [signature({ secrets: { orders: secret } })],
    loadUser: (id: string) => ({ id }),
    modules: { shop: defineModule({ prefix: '/shop', auth: 'required', resources: { pay } }) },
  }
  const { app } = await createService(t, {}, closed as never)
  const db = app.db as unknown as Kysely<Tables>
  await db.schema.createTable('payment').addColumn('cents', 'integer').execute()
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const { lossy, seen } = await loseAnswer(t, url, 'late')
  const orders = await createService(t, {}, { name: 'orders' })
  const client = createClient<typeof shop>({
    url: lossy,
    auth: { signature: { app: 'orders', secret } },
    breaker: false,
    retry: { delay: 1 },
  })
  await orders.app.run(() => client.shop.pay({ to: 'ann', cents: 500 }))
  t.strictSame(await db.selectFrom('payment').selectAll().execute(), [{ cents: 500 }])
  const [first, second] = seen.signatures
  t.match([first, second], [/=:.+:/, /=:.+:/])
  t.not(first, second)
})
