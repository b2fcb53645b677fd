import t from 'tap'
import { Type } from 'typebox'
import type { ResourceCache } from '../../src/resource/cache-policy.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { onEach, serve } from './attached.ts'

/** A resource that tells for whom it has run, and how often. */
function greeting(cache: ResourceCache) {
  let runs = 0
  return defineResource({
    summary: 'Who asks',
    response: Type.String(),
    cache,
    perform: (_, { user }) => `${user?.id ?? 'nobody'} ${++runs}`,
  })
}

/** What the users `ids` are answered, one after the other; '': nobody asks. */
async function ask(app: Awaited<ReturnType<typeof serve>>, ...ids: string[]) {
  const told: string[] = []
  for (const id of ids) {
    const headers = id ? { 'x-user': id } : {}
    told.push((await app.inject({ url: '/things', headers })).json().data)
  }
  return told
}

onEach(t, 'each user has results of its own', async (t, attached) => {
  const hello = greeting({ ttl: 3_600_000 })
  const app = await serve(t, attached, { hello })
  t.strictSame(await ask(app, 'ann', 'bob', 'ann', '', 'bob', ''), [
    'ann 1',
    'bob 2',
    'ann 1',
    'nobody 3',
    'bob 2',
    'nobody 3',
  ])
  // An id may look like anything that is a part of keys.
  t.strictSame(await ask(app, '-', '@ann', 'ann:', 'ann'), ['- 4', '@ann 5', 'ann: 6', 'ann 1'])
})

onEach(t, 'unless told otherwise', async (t, attached) => {
  const app = await serve(t, attached, { hello: greeting({ ttl: 3_600_000, perUser: false }) })
  t.strictSame(await ask(app, 'ann', 'bob', ''), ['nobody 1', 'nobody 1', 'nobody 1'])
})

onEach(t, 'invalidate is of the caller, tags are of all', async (t, attached) => {
  const hello = greeting({ ttl: 3_600_000, tags: ['hello'] })
  const forget = defineResource({
    summary: 'Forget mine',
    method: 'POST',
    perform: async () => {
      await hello.invalidate()
      return null
    },
  })
  const app = await serve(t, attached, { hello, forget })
  await ask(app, 'ann', 'bob')
  await app.inject({ method: 'POST', url: '/things', headers: { 'x-user': 'ann' } })
  t.strictSame(await ask(app, 'ann', 'bob'), ['ann 3', 'bob 2'])
  await app.cache.invalidate('hello')
  t.strictSame(await ask(app, 'ann', 'bob'), ['ann 4', 'bob 5'])
})

onEach(t, 'calls without a user may have another policy', async (t, attached) => {
  const never = await serve(t, attached, { hello: greeting({ ttl: 3_600_000, anonymous: false }) })
  t.strictSame(await ask(never, '', '', 'ann', 'ann', ''), [
    'nobody 1',
    'nobody 2',
    'ann 3',
    'ann 3',
    'nobody 4',
  ])
  const anonymous = { ttl: 3_600_000, when: (text: unknown) => text !== 'nobody 1' }
  const other = await serve(t, attached, { hello: greeting({ ttl: 3_600_000, anonymous }) })
  t.strictSame(await ask(other, '', '', '', 'ann'), ['nobody 1', 'nobody 2', 'nobody 2', 'ann 3'])
})
