import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { type App, createApp } from '../../src/service.ts'
import { PATIENT, redisUrl } from '../helpers/drivers.ts'
import { type ManageOptions, manage, startManage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'

/** Resources that print, fail, and wait until the file GATE is there or they are aborted. */
const JOBS = `
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineModule, defineResource, errors, Type } from 'plinth'

const print = defineResource({
  summary: 'Print',
  method: 'POST',
  request: Type.Object({ text: Type.String() }),
  response: Type.String(),
  schedule: { cron: '0 3 1 1 *', input: { text: 'nightly' } },
  perform: ({ text }, { log }) => {
    log.info('printed ' + text)
    return text
  },
})

const fail = defineResource({
  summary: 'Fail',
  method: 'POST',
  path: '/fail',
  perform() {
    throw errors.CONFLICT('out of paper')
  },
})

const wait = defineResource({
  summary: 'Wait',
  method: 'POST',
  path: '/wait',
  response: Type.String(),
  async perform(_, { log, signal }) {
    log.info('begun')
    for (let i = 0; i < 30_000 && !existsSync(process.env.GATE ?? ''); i++) {
      signal.throwIfAborted()
      await sleep(20)
    }
    return 'waited'
  },
})

const cached = defineResource({
  summary: 'Cached',
  path: '/cached',
  response: Type.Integer(),
  cache: { ttl: 3_600_000, perUser: false, tags: ['numbers'] },
  perform: () => 7,
})

export const jobs = defineModule({ prefix: '/jobs', resources: { print, fail, wait, cached } })
`

const service = (name: string): string => `
import { defineService } from 'plinth'
import { jobs } from './jobs.ts'
export default defineService({
  name: '${name}',
  modules: { jobs },
  taskQueues: ['mail'],
  limits: { news: { max: 1000, duration: 1000 } },
})
`

export interface Jobs {
  service: string
  env: Record<string, string>
  /** An app of the service in this process. */
  app: App
  run(...args: string[]): ReturnType<typeof manage>
  runIn(env: Record<string, string>, ...args: string[]): ReturnType<typeof manage>
  start(env: Record<string, string>, ...args: string[]): ReturnType<typeof startManage>
  /** Adds a task, and returns its id. */
  enqueue(
    name: 'print' | 'fail' | 'wait' | 'hang',
    input?: object,
    options?: object,
  ): Promise<string>
}

/**
 * A service with tasks in a Redis, its name its own.
 *
 * @param code of another one, with NAME for its name
 */
export async function createJobs(t: Test, code?: string): Promise<Jobs> {
  const name = `jobs-${randomUUID()}`
  const text = code?.replace('NAME', name) ?? service(name)
  const root = writeService(t, { 'src/service.ts': text, 'src/jobs.ts': JOBS })
  const env = {
    REDIS_URL: redisUrl(),
    // Also where it is told that it is another environment.
    REDIS_PREFIX: name,
    REDIS_TIMEOUT: `${PATIENT.commandTimeout}`,
    DATABASE_URL: '',
    NODE_ENV: 'test',
    LOG_LEVEL: 'info',
  }
  const options = (more = {}): ManageOptions => ({ service: root, env: { ...env, ...more } })
  const { default: definition } = await import(`${root}/src/service.ts`)
  const app = (await createApp(definition, { root, env, logger: false })) as App
  t.teardown(() => app.close())
  await app.ready()
  return {
    service: root,
    env,
    app,
    run: (...args) => manage(t, args, options()),
    runIn: (more, ...args) => manage(t, args, options(more)),
    start: (more, ...args) => startManage(t, args, options(more)),
    async enqueue(name, input = {}, how = {}) {
      const task = await app.resources.jobs?.[name]?.enqueue(input as never, how)
      return task?.task_id ?? ''
    },
  }
}
