import { mkdirSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  Load,
  type LoadAnswer,
  type LoadRequest,
  makeRequest,
} from '../src/process/load-clients.ts'
import { Managed } from '../src/process/managed.ts'
import { KIT_OPTIONS } from '../test/helpers/manage.ts'
import { ownMysql } from '../test/helpers/own-mysql.ts'
import { ownRedis } from '../test/helpers/own-redis.ts'
import type { OwnServer } from '../test/helpers/own-server.ts'
import { seeded } from '../test/helpers/random-schema.ts'
import { execute } from '../test/servers/mysql.ts'
import type { Proof, ProofOptions } from './proof.ts'

const WORKERS = 2
/** Seconds of a fault from which on times and memory count. */
const LONG = 10
/** REQUEST_TIMEOUT, and what an answer may come later: timers are that exact on a machine with few cores. Milliseconds. */
const DEADLINE = 2000
const TOLERANCE = { long: 1000, short: 5000 }
/** Milliseconds after the end of a fault in which everything has to work again; in the short form there is more beside it. */
const RECOVERY = { long: 2000, short: 15_000 }
/** Milliseconds without a failure after which there will be none. */
const CALM = 3000
/** How much more memory a process may have than before: as a factor, and in bytes what the collector leaves lying. */
const GROWTH = { factor: 1.25, bytes: 32 * 1024 * 1024 }
const SLOW = { long: 10_000, short: 300 }
/** How requests may fail while a server is lost: those that lack nothing, and those that need it. In the short form a process may have no turn for as long as the deadline. */
const REFUSALS = {
  long: { cached: /^$/, needy: /^50[34]/ },
  short: { cached: /^(504|408)/, needy: /^(50[34]|408)/ },
}
const formOf = (size: number) => (size >= LONG ? 'long' : 'short')

export const proof: Proof = {
  summary:
    'Under load the database or Redis freezes, and is killed, or clients are slow by the thousand: no process dies, none answers later than its deadline, all works again at once, and no memory is kept',
  drivers: ['mysql', 'redis', 'http'],
  size: { full: 30, short: 2 },
  prove,
}

const SERVICE = `
import { defineModule, defineResource, defineService, Type } from 'plinth'
import { sql } from 'plinth/sql'

const Id = Type.Object({ id: Type.Integer() })

const read = defineResource({
  summary: 'A row',
  path: '/:id',
  request: Id,
  response: Type.Integer(),
  async perform({ id }, { db }) {
    const { rows } = await sql\`select n from prove_row where n = \${id}\`.execute(db)
    return rows.length
  },
})

const write = defineResource({
  summary: 'Change a row',
  method: 'POST',
  path: '/:id',
  request: Id,
  async perform({ id }, { db }) {
    await sql\`update prove_row set times = times + 1 where n = \${id}\`.execute(db)
    return null
  },
})

const cached = defineResource({
  summary: 'What is cached',
  path: '/cached/:id',
  request: Id,
  response: Type.Integer(),
  cache: { ttl: 1000, perUser: false },
  perform: ({ id }) => id,
})

const enqueue = defineResource({
  summary: 'Enqueue a task',
  method: 'POST',
  path: '/tasks/:id',
  request: Id,
  async perform({ id }) {
    await cached.enqueue({ id })
    return null
  },
})

export default defineService({
  name: 'faults',
  modules: {
    rows: defineModule({ prefix: '/rows', resources: { read, write } }),
    things: defineModule({ prefix: '/things', resources: { cached, enqueue } }),
  },
})
`

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const { driver, folder, size, tell } = options
  mkdirSync(join(folder, 'src'), { recursive: true })
  const manifest = { name: 'faults', type: 'module', dependencies: { plinth: '*' } }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest))
  writeFileSync(join(folder, 'src/service.ts'), SERVICE)
  const figures = await (driver === 'http' ? proveSlow(options) : proveFaults(options))
  tell(size)
  return figures
}

/** A server that is lost, and requests that need it, or not. */
async function proveFaults(options: ProofOptions): Promise<Record<string, number>> {
  const { driver, size } = options
  const form = formOf(size)
  const server = await (driver === 'mysql' ? ownMysql(options) : ownRedis(options))
  const env = driver === 'mysql' ? await withRows(server.url) : { REDIS_URL: server.url }
  const group = await startGroup(options, env)
  const needy = driver === 'mysql' ? '/rows' : '/things/tasks'
  const random = seeded(options.seed)
  const next = (): LoadRequest => {
    const id = Math.floor(random() * 50)
    if (random() < 0.5) return { url: `${group.url}/things/cached/${id}` }
    const isRead = driver === 'mysql' && random() < 0.5
    return { url: `${group.url}${needy}/${id}`, method: isRead ? 'GET' : 'POST' }
  }
  const answers: LoadAnswer[] = []
  const load = new Load({
    clients: { kept: 8, fresh: 2, slow: 2 },
    rate: 100,
    next,
    onAnswer: (answer) => answers.push(answer),
  })
  options.teardown(() => load.stop())
  const figures: Record<string, number> = {}
  await sleep(size * 1000)
  // What a process takes once it has seen all of it, it keeps: whether it takes more the next time is the question.
  let before = await group.members()
  const rounds = form === 'long' ? ['', 'again, '] : ['']
  const all = rounds.flatMap((round) =>
    Object.entries(faults).map(([name, begin]) => [`${round}${name}`, begin] as const),
  )
  for (const [name, begin] of all) {
    if (name === 'again, frozen') before = await group.members()
    answers.length = 0
    const end = await begin(server)
    await sleep(size * 1000)
    await end()
    const back = performance.now()
    let recovered = 0
    while (performance.now() - back - recovered < CALM) {
      await sleep(100)
      recovered = lastFailure(answers, back)
      if (recovered > RECOVERY[form])
        throw new Error(`${name}: requests still fail ${recovered} ms after it is back`)
    }
    assertDeadlines(answers, form)
    const failed = answers.filter(({ problem }) => problem).length
    Object.assign(figures, {
      [`${name}: requests`]: answers.length,
      [`${name}: refused`]: failed,
      [`${name}: slowest (ms)`]: Math.round(Math.max(...answers.map(({ took }) => took))),
      [`${name}: recovered (ms)`]: Math.round(recovered),
    })
  }
  await load.stop()
  return { ...figures, ...(await group.end(before, size)) }
}

/** Ways to lose a server: takes it away, returns what brings it back. */
const faults: Readonly<Record<string, (server: OwnServer) => Promise<() => Promise<void> | void>>> =
  {
    frozen: async (server) => {
      server.freeze()
      return server.goOn
    },
    killed: async (server) => {
      await server.kill()
      return server.restart
    },
  }

/** A database with some rows. */
async function withRows(server: string): Promise<Record<string, string>> {
  const url = Object.assign(new URL(server), { pathname: '/faults' }).href
  await execute(server, 'CREATE DATABASE faults CHARACTER SET utf8mb4')
  await execute(url, 'CREATE TABLE prove_row (n INTEGER PRIMARY KEY, times INTEGER NOT NULL)')
  const rows = Array.from({ length: 50 }, (_, n) => `(${n}, 0)`).join()
  await execute(url, `INSERT INTO prove_row VALUES ${rows}`)
  return { DATABASE_URL: url }
}

/** How many ms after `back` the last request that failed was made. */
function lastFailure(answers: readonly LoadAnswer[], back: number): number {
  const late = answers.filter(({ began, problem }) => problem && began > back)
  return Math.max(0, ...late.map(({ began }) => began - back))
}

/** @throws {Error} where one was answered too late, or otherwise than as a service does that lacks something */
function assertDeadlines(answers: readonly LoadAnswer[], form: 'long' | 'short'): void {
  for (const { request, habit, took, problem } of answers) {
    const what = `${request.method ?? 'GET'} ${request.url} (${habit}): ${problem}`
    // A slow client takes its own time.
    if (habit !== 'slow' && took > DEADLINE + TOLERANCE[form])
      throw new Error(`${what}, after ${took} ms`)
    const { cached, needy } = REFUSALS[form]
    const may = request.url.includes('/cached/') ? cached : needy
    if (problem && !may.test(problem)) throw new Error(what)
  }
}

/** Clients by the thousand that hold their connections, each in one of three ways, and others that are served beside them. */
async function proveSlow(options: ProofOptions): Promise<Record<string, number>> {
  const { size } = options
  const group = await startGroup(options, {})
  const failures: string[] = []
  const load = new Load({
    clients: { kept: 8, fresh: 4 },
    rate: 100,
    next: () => ({ url: `${group.url}/things/cached/1` }),
    onAnswer: ({ problem }) => problem && failures.push(problem),
  })
  options.teardown(() => load.stop())
  await sleep(size * 500)
  const count = SLOW[formOf(size)]
  const port = Number(new URL(group.url).port)
  // The first ones show what it takes to have so many, and the others whether it is kept.
  const first = new SlowClients(port)
  options.teardown(() => first.close())
  await first.open(count)
  first.close()
  await sleep(1000)
  const before = await group.members()
  const slow = new SlowClients(port)
  options.teardown(() => slow.close())
  await slow.open(count)
  const p99 = await load.p99(size)
  const held = slow.held
  slow.close()
  await load.stop()
  if (failures.length > 0)
    throw new Error(`${failures.length} requests failed, the first with ${failures[0]}`)
  if (held < count / 2) throw new Error(`only ${held} of ${count} clients had a connection`)
  const more = await group.end(before, size)
  return { requests: load.requests, failed: 0, slow: held, 'p99 (ms)': Math.round(p99), ...more }
}

/** Ways to hold a connection: what is sent, and nothing more then. */
const HOLDING = [
  '',
  'GET /things/cached/1 HTTP/1.1\r\nHost: x\r\nX-Par',
  'GET /ping HTTP/1.1\r\nHost: x\r\n\r\n',
]

/** Clients that connect again where they are thrown out. */
class SlowClients {
  readonly #port: number
  readonly #sockets = new Set<Socket>()
  #isClosed = false

  constructor(port: number) {
    this.#port = port
  }

  get held(): number {
    return this.#sockets.size
  }

  async open(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.#connect(HOLDING[i % HOLDING.length] ?? '')
      // As many at once as a system lets wait.
      if (i % 100 === 99) await sleep(20)
    }
  }

  close(): void {
    this.#isClosed = true
    for (const socket of this.#sockets) socket.destroy()
  }

  #connect(said: string): void {
    if (this.#isClosed) return
    const socket = connect({ host: '127.0.0.1', port: this.#port })
    socket.once('connect', () => {
      this.#sockets.add(socket)
      socket.write(said)
    })
    socket.on('error', () => {})
    socket.once('close', () => {
      this.#sockets.delete(socket)
      setTimeout(() => this.#connect(said), 100).unref()
    })
  }
}

/** Serves, and looks at the processes at the end. */
async function startGroup(options: ProofOptions, more: Record<string, string>) {
  const { PATH, HOME } = process.env
  const { folder } = options
  const manage = join(import.meta.dirname, '../bin/manage')
  const group = new Managed({
    program: [process.execPath, ...KIT_OPTIONS, manage],
    args: ['serve', '--workers', `${WORKERS}`, '--host', '127.0.0.1', '--port', '0'],
    cwd: folder,
    env: {
      ...{ PATH, HOME, PLINTH_SERVICE: folder, NODE_ENV: 'production', DRAIN_DELAY: '0' },
      DATABASE_URL: 'sqlite::memory:',
      ...{ REQUEST_TIMEOUT: `${DEADLINE}`, LOAD_SHEDDING: 'false', ...more },
    },
  })
  options.teardown(() => group.kill())
  const url = await group.url()
  const first = await makeRequest({ url: `${url}/ping` }, 'fresh')
  if (first.problem) throw new Error(`it does not serve: ${first.problem}`)
  return {
    url,
    members: () => group.members(),
    /** @throws {Error} where one has died since `before`, or kept memory */
    async end(before: Awaited<ReturnType<Managed['members']>>, size: number) {
      // What is not kept is collected by then.
      await sleep(1000)
      const after = await group.members()
      const pids = (members: typeof before) => members.map(({ pid }) => pid).join()
      if (pids(after) !== pids(before)) throw new Error(`a process has died:\n${group.tail()}`)
      const [old, now] = [before, after].map((all) => Math.max(...all.map(({ rss }) => rss)))
      if (formOf(size) === 'long' && (now ?? 0) > (old ?? 0) * GROWTH.factor + GROWTH.bytes)
        throw new Error(`a process has ${now} bytes of memory, ${old} before`)
      group.signal('SIGTERM')
      const code = await group.ended()
      if (code !== 0) throw new Error(`the processes have ended with ${code}:\n${group.tail()}`)
      const inMb = (bytes = 0) => Math.round(bytes / 1_048_576)
      return { 'memory before (MB)': inMb(old), 'memory after (MB)': inMb(now) }
    },
  }
}
