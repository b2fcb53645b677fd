import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineModule, defineService } from 'plinth'
import { testApp } from 'plinth/testing'
import { get__PASCAL__ } from '../src/apis/__NAME__.ts'

/** Nothing is asked of the other system: what answers in its place has to fit what is said of it. */
test('what __NAME__ answers', async (t) => {
  const service = defineService({
    name: '__NAME__',
    modules: {
      __CAMEL__: defineModule({ resources: { one: get__PASCAL__ } }),
    },
  })
  const app = await testApp(service, { t, database: 'sqlite', upstreams: true })
  app.upstreams.answer(get__PASCAL__, { id: 1, name: 'One' })
  const { one } = app.resources.__CAMEL__
  assert.deepEqual(await one({ id: 1 }), { id: 1, name: 'One' })
})
