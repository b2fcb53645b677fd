import { Ajv2019 } from 'ajv/dist/2019.js'
import addFormats from 'ajv-formats'
import t from 'tap'
import { Type } from 'typebox'
import { factory, testApp } from '../../src/testing/index.ts'
import { Customer, Order } from './shop/models.ts'
import { databases, root, shop } from './shop/service.ts'

const ajv = addFormats.default(new Ajv2019({ strict: false }))

for (const [kind, database] of Object.entries(databases)) {
  t.test(`rows are valid, and kept as they are (${kind})`, async (t) => {
    const app = await testApp(shop, { t, root, database })
    const customers = factory(Customer, { seed: 7 })
    const made = await customers.createMany(app.db, 60)
    const validate = ajv.compile(Customer.schema)
    for (const row of made) t.ok(validate(row), JSON.stringify([row, validate.errors]))
    t.strictSame(
      await app.db.selectFrom('shop_customer').select(Customer.columns).orderBy('id').execute(),
      made,
    )
    t.equal(new Set(made.map(({ name }) => name)).size > 30, true, 'they differ')
    t.ok(made.some(({ born }) => born === null) && made.some(({ born }) => born !== null))

    const [one] = await customers.createMany(app.db, 1, { name: 'Zoe', level: 'gold' })
    t.match(one, { name: 'Zoe', level: 'gold' })
  })

  t.test(`what a row refers to is made before it (${kind})`, async (t) => {
    const app = await testApp(shop, { t, root, database })
    await t.rejects(
      factory(Order).create(app.db),
      /shop_order refers to one of shop_customer: give customer/,
    )
    const orders = factory(Order, { parents: [factory(Customer)] })
    const order = await orders.create(app.db, { total: 5 })
    t.match(order, { id: 1, customer: 1, total: 5 })
    t.match(await orders.create(app.db, { customer: 1 }), { id: 2, customer: 1 })
    t.equal((await app.db.selectFrom('shop_customer').selectAll().execute()).length, 1)
  })

  t.test(`a key that is taken is not taken again (${kind})`, async (t) => {
    const app = await testApp(shop, { t, root, database })
    // The same seed would make the same addresses.
    await factory(Customer, { seed: 3 }).createMany(app.db, 3)
    t.equal((await factory(Customer, { seed: 3 }).createMany(app.db, 3)).length, 3)
    const twice = factory(Customer).createMany(app.db, 2, { email: 'ann@example.com' })
    await t.rejects(twice, /unique|duplicate/i)
  })
}

t.test('the same seed makes the same rows', async (t) => {
  const rows = (seed: number) => {
    const customers = factory(Customer, { seed })
    return Array.from({ length: 5 }, () => customers.build())
  }
  t.strictSame(rows(1), rows(1))
  t.notSame(rows(1), rows(2))
  t.notOk('id' in (rows(1)[0] as object), 'the database numbers them')
})

t.test('a pattern that cannot be met is told', async (t) => {
  const { defineModel } = await import('../../src/index.ts')
  const Thing = defineModel('thing', {
    columns: {
      id: Type.Integer(),
      name: Type.String({ pattern: '^(?=.*\\d)(?=.*[a-z]).{30}$', maxLength: 30 }),
    },
    generated: ['id'],
  })
  t.throws(() => factory(Thing).build(), /pattern.*say the value/)
  t.match(factory(Thing).build({ name: 'mine' }), { name: 'mine' })
})
