import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { KIT, startServe } from '../helpers/manage.ts'
import { poll } from '../helpers/network.ts'
import { writeService } from '../helpers/service.ts'

/** A `Date` that can be set, for whatever is loaded after it. */
const SETTABLE = `
const { now } = Date
let by = 0
globalThis.setClock = (ms) => { by += ms }
globalThis.Date = class extends Date {
  constructor(...given) { super(...(given.length > 0 ? given : [now() + by])) }
  static now() { return now() + by }
}`

const THINGS = `
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineModule, defineResource, Type } from 'plinth'

let ticks = 0
let done = 0

const set = defineResource({
  summary: 'Set the clock',
  method: 'POST',
  path: '/set',
  request: Type.Object({ by: Type.Integer() }),
  perform: ({ by }) => { globalThis.setClock(by); return null },
})

const counts = defineResource({
  summary: 'What has been done',
  response: Type.Object({ ticks: Type.Integer(), done: Type.Integer() }),
  perform: () => ({ ticks, done }),
})

const tick = defineResource({
  summary: 'Each second',
  expose: false,
  schedule: '* * * * * *',
  perform: () => { ticks++; return null },
})

const finish = defineResource({
  summary: 'Later',
  expose: false,
  perform: () => { done++; return null },
})

const later = defineResource({
  summary: 'Do it later',
  method: 'POST',
  path: '/later',
  perform: async () => { await finish.enqueue({}, { delay: 500 }); return null },
})

const once = defineResource({
  summary: 'Once an hour',
  path: '/once',
  rateLimits: { by: 'all', max: 1, duration: 3_600_000 },
  perform: () => null,
})

const wait = defineResource({
  summary: 'Wait',
  path: '/wait',
  timeout: 60_000,
  response: Type.String(),
  async perform(_, { log, signal }) {
    log.info('waiting')
    while (!existsSync(process.env.GATE)) await sleep(20, undefined, { signal })
    return 'waited'
  },
})

const resources = { set, counts, tick, finish, later, once, wait }
export const things = defineModule({ prefix: '/things', resources })
`

const SERVICE = `
import { defineService } from 'plinth'
import { things } from './things.ts'

export default defineService({ name: 'shop', rateLimits: [], modules: { things } })`

const HOUR = 3_600_000

t.test('the clock is set by hours: nothing ends early, and nothing waits for them', async (t) => {
  const service = writeService(t, { 'src/things.ts': THINGS, 'src/service.ts': SERVICE })
  const gate = join(service, 'open')
  const preload = `--import=data:text/javascript,${encodeURIComponent(SETTABLE)}`
  const running = await startServe(t, {
    service,
    env: {
      DATABASE_URL: 'sqlite::memory:',
      GATE: gate,
      NODE_OPTIONS: `${KIT} ${preload}`,
    },
  })
  const ask = async (path: string, body?: object) => {
    const headers = { 'content-type': 'application/json' }
    const sent = body && { method: 'POST', body: JSON.stringify(body), headers }
    const answer = await fetch(`${running.url}/things${path}`, sent)
    const { data } = (await answer.json()) as { data: Record<string, number> }
    return { status: answer.status, data }
  }
  const isCounted = (wanted: Record<string, number>) => async () => {
    const { data } = await ask('')
    return Object.entries(wanted).every(([name, least]) => (data[name] ?? 0) >= least)
  }
  const waited = ask('/wait')
  await running.until('stdout', /"msg":"waiting"/)
  t.match(await ask('/once'), { status: 200 })
  await poll(isCounted({ ticks: 1 }))

  const { data: before } = await ask('')
  t.match(await ask('/set', { by: 5 * HOUR }), { status: 200 })
  t.match(await ask('/once'), { status: 429 })
  await poll(isCounted({ ticks: (before.ticks ?? 0) + 1 }))

  t.match(await ask('/later', {}), { status: 200 })
  t.match(await ask('/set', { by: -9 * HOUR }), { status: 200 })
  await poll(isCounted({ done: 1 }))
  t.match(await ask('/once'), { status: 429 })

  writeFileSync(gate, '')
  t.strictSame(await waited, { status: 200, data: 'waited' })
  running.process.kill('SIGTERM')
  t.match(await running.ended, { code: 0, signal: null })
})
