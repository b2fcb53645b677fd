import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'

/** The environment of a service whose database is none to connect to. */
export const BARE = { DATABASE_URL: 'sqlite::memory:' }

/** A module `things`: resources that answer, fail, and wait until the file that GATE names is there. */
export const THINGS = `
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineModule, defineResource, notFound, Type } from 'plinth'

const Thing = Type.Object({ id: Type.Integer({ minimum: 1 }), name: Type.String() })

const list = defineResource({
  summary: 'Every thing',
  response: Type.Array(Thing),
  perform: () => [{ id: 1, name: 'one' }],
})

const retrieve = defineResource({
  summary: 'One thing',
  path: '/:id',
  request: Type.Object({ id: Thing.properties.id, token: Type.Optional(Type.String()) }),
  response: Thing,
  perform: ({ id }, { log }) => {
    log.warn('looked for ' + id)
    return id === 1 ? { id, name: 'one' } : notFound('thing', id)
  },
})

const add = defineResource({
  summary: 'Add a thing',
  method: 'POST',
  status: 201,
  request: Thing,
  response: Thing,
  perform: (thing) => thing,
})

const wait = defineResource({
  summary: 'Wait',
  path: '/wait',
  response: Type.String(),
  async perform(_, { log }) {
    log.info('waiting')
    for (let i = 0; i < 30_000 && !existsSync(process.env.GATE); i++) await sleep(20)
    return 'waited'
  },
})

export const things = defineModule({ prefix: '/things', resources: { list, retrieve, add, wait } })
`

export const SERVICE = `
import { defineService } from 'plinth'
import { things } from './things.ts'

export default defineService({ name: 'shop', modules: { things } })
`

/**
 * Writes a service into the test's folder and returns that folder. Without a database, unless `.env` or
 * the environment names one.
 *
 * @param files more files by path, or other texts for `package.json`, `src/service.ts`, `src/things.ts`
 */
export function writeService(t: Test, files: Record<string, string> = {}): string {
  const root = t.testdir()
  const all = {
    'package.json': JSON.stringify({
      name: 'shop',
      type: 'module',
      private: true,
      dependencies: { plinth: '*' },
    }),
    'src/service.ts': SERVICE,
    'src/things.ts': THINGS,
    ...files,
  }
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  return root
}
