import { resolve } from 'node:path'
import * as Flags from '@oclif/core/flags'
import type { FastifyInstance } from 'fastify'
import type { RolloutReport } from '../src/process/rollout-test.ts'
import { BaseCommand } from './_base.ts'
import {
  Chosen,
  enqueuer,
  type Header,
  readHeader,
  readRequest,
  safeRequests,
  type Wanted,
} from './_load.ts'
import { formatNumber, ProgressBar } from './_progress.ts'
import { Releases } from './_releases.ts'
import type { LoadedService } from './_service.ts'

interface Result extends RolloutReport {
  requested: string[]
  /** What needs no input and was not requested all the same, and why. */
  left_out: string[]
}

const LOAD = 'rollout-test puts load on the service and applies its migrations'

export default class RolloutTest extends BaseCommand {
  static override summary = 'Test that a new release loses no request'
  static override description =
    'Serves with several processes on a free port of 127.0.0.1 and puts load on them: clients that keep their connections, that do not, and slow ones. Under it all processes are replaced by SIGHUP, the first time after the migrations of this release were applied, and single ones ended by SIGTERM, in turns; with Redis tasks are enqueued meanwhile, and their worker restarted. Requests are the GET routes that need no input and answer with success, and those of --request. Exits 1, and names each, for an answer other than 2xx, a connection that breaks, and a task that is lost or runs twice.'
  static override examples = [
    '<%= config.bin %> rollout-test',
    '<%= config.bin %> rollout-test --from /srv/shop-1.4 --seconds 60 --rate 500',
    `<%= config.bin %> rollout-test --request 'POST /orders {"article": 7}' --header 'authorization: Bearer …'`,
    "<%= config.bin %> rollout-test --request 'PUT /photos/1 @photo.jpg' --no-migrate",
  ]
  static override enableJsonFlag = true
  static override flags = {
    from: Flags.string({
      helpValue: 'FOLDER',
      description: 'the folder of the release that serves at first; default: this one',
    }),
    seconds: Flags.integer({ min: 1, default: 30, description: 'for how long, at least' }),
    rate: Flags.integer({ min: 1, default: 100, description: 'how many requests in a second' }),
    pause: Flags.integer({ min: 1, default: 2, description: 'seconds between two restarts' }),
    workers: Flags.integer({ char: 'w', min: 1, default: 2, description: 'how many processes' }),
    request: Flags.custom<Wanted>({
      multiple: true,
      helpValue: "'METHOD /path BODY'",
      parse: async (text) => readRequest(text),
      description:
        'also this one; its body is JSON, or @ and a file. Slow clients send it in parts',
    })(),
    header: Flags.custom<Header>({
      multiple: true,
      helpValue: "'name: value'",
      parse: async (text) => readHeader(text),
      description: 'what all requests have, a token for example',
    })(),
    migrate: Flags.boolean({
      allowNo: true,
      default: true,
      description: 'apply the migrations of this release before the first replacement',
    }),
    force: Flags.boolean({ description: 'also in production' }),
  }

  async run(): Promise<Result> {
    const { flags } = await this.parse(RolloutTest)
    return await this.withApp(async (app, loaded) => {
      this.refuseInProduction(app, LOAD, flags.force)
      const releases = new Releases(this.script, loaded.root, resolve(flags.from ?? loaded.root))
      try {
        return await this.untilSignal('stopped', (signal) =>
          this.test(app, loaded, { ...flags, releases, signal }),
        )
      } finally {
        releases.remove()
      }
    })
  }

  private async test(app: FastifyInstance, loaded: LoadedService, given: Given): Promise<Result> {
    const { releases, signal, rate, seconds, header = [], request = [] } = given
    const { testRollout } = await import('../src/process/rollout-test.ts')
    const chosen = new Chosen([...(await safeRequests(app)), ...request], header)
    const bar = new ProgressBar()
    const began = performance.now()
    const elapsed = () => (performance.now() - began) / 1000
    const env = { ...process.env, ...absoluteDatabase(app, loaded.root) }
    const start = { ...releases.current, env: { ...env, ...releases.current.env } }
    try {
      const report = await testRollout({
        start,
        workers: given.workers,
        clients: { kept: 4 + Math.ceil(rate / 50), fresh: 2 + Math.ceil(rate / 200), slow: 3 },
        rate,
        pause: given.pause * 1000,
        prepare: (url) => chosen.probe(url),
        next: () => chosen.next(),
        enqueue: await enqueuer(app, chosen),
        explain: async (id) => `it is ${(await app.tasks.find(id)).state}`,
        beforeRenewal: async (round) => {
          if (round > 1) return
          if (given.migrate && app.hasDecorator('db')) await releases.migrate(env)
          releases.change()
        },
        isOver: () => elapsed() >= seconds,
        tell: (requests) =>
          bar.draw({
            name: 'rollout-test',
            unit: 'requests',
            rows: requests,
            total: rate * seconds,
            rate: requests / elapsed(),
          }),
        signal,
      })
      bar.clear()
      return this.report({ ...report, requested: chosen.names, left_out: chosen.leftOut })
    } finally {
      bar.clear()
    }
  }

  private report(result: Result): Result {
    const { failures, tasks, restarts, problems, requested, left_out } = result
    for (const name of requested) this.log(`requested  ${name}`)
    for (const name of left_out) this.log(`left out   ${name}`)
    for (const { request, problem, times } of failures)
      this.log(`failed     ${request}: ${problem}, ${formatNumber(times)} times`)
    for (const id of tasks.lost) this.log(`lost       task ${id}`)
    for (const id of tasks.doubled) this.log(`doubled    task ${id}`)
    for (const problem of problems) this.log(`failed     ${problem}`)
    const failed = failures.reduce((sum, { times }) => sum + times, 0)
    const isBad = [failures, tasks.lost, tasks.doubled, problems].some(({ length }) => length > 0)
    this.log(
      `${isBad ? 'error' : 'ok'}: ${formatNumber(result.requests)} requests, ${formatNumber(failed)} failed; ${tasks.enqueued} tasks, ${tasks.lost.length} lost, ${tasks.doubled.length} doubled; all processes replaced ${restarts.all} times, one ended ${restarts.one} times`,
    )
    if (isBad) process.exitCode = 1
    return result
  }
}

interface Given {
  releases: Releases
  signal: AbortSignal
  rate: number
  seconds: number
  pause: number
  workers: number
  migrate: boolean
  header?: Header[] | undefined
  request?: Wanted[] | undefined
}

/** A relative path of SQLite is in the folder of this release, whichever runs. */
function absoluteDatabase({ config }: FastifyInstance, root: string): { DATABASE_URL?: string } {
  const [, path] = /^sqlite:(\.?[^:/].*)$/.exec(config.DATABASE_URL ?? '') ?? []
  return path === undefined ? {} : { DATABASE_URL: `sqlite:${resolve(root, path)}` }
}
