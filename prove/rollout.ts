import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { testRollout } from '../src/process/rollout-test.ts'
import { KIT_OPTIONS } from '../test/helpers/manage.ts'
import { seeded } from '../test/helpers/random-schema.ts'
import type { Proof, ProofOptions } from './proof.ts'

const WORKERS = 3
/** Milliseconds of load between two replacements. */
const PAUSE = 2000

export const proof: Proof = {
  summary:
    'Under load the processes of `manage serve --workers` are replaced, all by SIGHUP and single ones by SIGTERM, and no request fails',
  drivers: ['sqlite'],
  size: { full: 12, short: 1 },
  prove,
}

const SERVICE = (release: number) => `
import { setTimeout as sleep } from 'node:timers/promises'
import { defineModule, defineResource, defineService, Type } from 'plinth'

const tell = defineResource({
  summary: 'Which release answers',
  request: Type.Object({ wait: Type.Integer({ default: 0 }) }),
  response: Type.Object({ release: Type.Integer() }),
  async perform({ wait }) {
    if (wait > 0) await sleep(wait)
    return { release: ${release} }
  },
})

const take = defineResource({
  summary: 'Take something large',
  method: 'POST',
  request: Type.Object({ text: Type.String() }),
  response: Type.Integer(),
  perform: ({ text }) => text.length,
})

export default defineService({
  name: 'rollout',
  modules: { things: defineModule({ prefix: '/things', resources: { tell, take } }) },
})
`

const UPLOAD = {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ text: 'x'.repeat(200_000) }),
}

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const { folder, seed, size, tell } = options
  const random = seeded(seed)
  const source = join(folder, 'src/service.ts')
  mkdirSync(join(folder, 'src'))
  const manifest = { name: 'rollout', type: 'module', dependencies: { plinth: '*' } }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest))
  writeFileSync(source, SERVICE(0))
  const { PATH, HOME } = process.env
  const service = { PLINTH_SERVICE: folder, DATABASE_URL: await options.createDatabase() }
  const env = { PATH, HOME, ...service, NODE_ENV: 'production', DRAIN_DELAY: '0', ...options.env }
  const manage = join(import.meta.dirname, '../bin/manage')
  let url = ''
  const report = await testRollout({
    start: { program: [process.execPath, ...KIT_OPTIONS, manage], cwd: folder, env },
    workers: WORKERS,
    clients: { kept: 6, fresh: 2, slow: 2 },
    pause: PAUSE,
    prepare: async (found) => {
      url = `${found}/things`
    },
    next() {
      if (random() < 0.05) return { url, ...UPLOAD }
      return { url: `${url}?wait=${random() < 0.05 ? Math.floor(random() * 200) : 0}` }
    },
    beforeRenewal: (round) => writeFileSync(source, SERVICE(round)),
    async afterRenewal(round) {
      const release = await whichAnswers(url)
      if (release !== round)
        throw new Error(`after SIGHUP release ${release} answers, wanted ${round}`)
      tell(round)
    },
    isOver: (round) => round >= size,
  })
  const { requests, failures, restarts, problems } = report
  if (failures.length > 0 || problems.length > 0)
    throw new Error(`of ${requests} requests failed: ${JSON.stringify({ failures, problems })}`)
  return { requests, failed: 0, replaced: restarts.all * WORKERS + restarts.one }
}

async function whichAnswers(url: string): Promise<number> {
  const { data } = (await (await fetch(url)).json()) as { data: { release: number } }
  return data.release
}
