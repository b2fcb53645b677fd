import { rmSync, writeFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { logLines, manage, type Running, startServe } from '../helpers/manage.ts'
import { isListening, poll } from '../helpers/network.ts'
import { BARE, writeService } from '../helpers/service.ts'
import { startOnTerminal } from '../helpers/terminal.ts'

/** A service of which each answer tells which process it is of, and which release. */
const release = (name: string) => `
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineModule, defineResource, Type } from 'plinth'

while (existsSync(process.env.GATE + '.hold')) await sleep(20)

const Told = Type.Object({ pid: Type.Integer(), release: Type.String(), mood: Type.String() })

const tell = defineResource({
  summary: 'Who answers',
  response: Told,
  perform: () => ({ pid: process.pid, release: '${name}', mood: process.env.MOOD ?? 'none' }),
})

const wait = defineResource({
  summary: 'Wait',
  path: '/wait',
  response: Told,
  async perform(_, { log }) {
    process.once('SIGTERM', () => log.info('signalled'))
    log.info('waiting')
    while (!existsSync(process.env.GATE)) await sleep(20)
    return { pid: process.pid, release: '${name}', mood: 'patient' }
  },
})

export const things = defineModule({ prefix: '/things', resources: { tell, wait } })
`

const BROKEN = 'export const things = {}\nthrow new Error("not today")\n'

interface Told {
  pid: number
  release: string
}

interface State {
  pid: number
  state: string
}

async function startGroup(
  t: Test,
  args: readonly string[] = [],
  files: Record<string, string> = {},
) {
  const service = writeService(t, { 'src/things.ts': release('first'), ...files })
  const gate = join(service, 'gate')
  const env = { ...BARE, GATE: gate, SHUTDOWN_TIMEOUT: '20000', REDIS_URL: undefined }
  const all = ['--workers', '2', '--port', '0', ...args]
  const serving = await startServe(t, { service, args: all, env })
  await serving.until('stdout', /"workers":2,.*"msg":"serving"/)
  /** What the supervisor says of its processes. */
  const states = async (): Promise<State[]> => {
    serving.said.stdout = ''
    serving.process.kill('SIGUSR2')
    const [line] = await serving.until('stdout', /.*"msg":"state".*/)
    return JSON.parse(line).workers
  }
  return { ...serving, service, gate, states }
}

/** Asks on a connection of its own, as each new client would. */
function ask(url: string, path = '/things', agent: Agent | false = false): Promise<Told> {
  return new Promise((resolve, reject) => {
    const request = get(`${url}${path}`, { agent }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk
      })
      response.once('error', reject)
      response.once('end', () =>
        response.statusCode === 200 ? resolve(JSON.parse(text).data) : reject(new Error(text)),
      )
    })
    request.once('error', reject)
  })
}

/** Which processes answer, by asking some dozen times. */
async function answering(url: string): Promise<Set<number>> {
  const told = await Promise.all(Array.from({ length: 12 }, () => ask(url)))
  return new Set(told.map(({ pid }) => pid))
}

/** Asks all the time, on connections of its own and on ones that are kept, until it is told to stop. */
function load(url: string) {
  const kept = new Agent({ keepAlive: true, maxSockets: 4 })
  const failures: unknown[] = []
  const releases = new Set<string>()
  let answers = 0
  let isOver = false
  const client = async (agent: Agent | false) => {
    while (!isOver) {
      await ask(url, '/things', agent).then(
        ({ release }) => {
          releases.add(release)
          answers++
        },
        (error) => failures.push(error),
      )
      // Where this process stood still, what was closed meanwhile is read between the two.
      await turn()
      await turn()
    }
  }
  const clients = [kept, kept, kept, kept, false, false].map((agent) => client(agent as Agent))
  return {
    async stop() {
      isOver = true
      await Promise.all(clients)
      kept.destroy()
      return { failures, releases: [...releases], answers }
    },
  }
}

const end = async ({ process: child, ended }: Pick<Running, 'process' | 'ended'>) => {
  child.kill('SIGTERM')
  return await ended
}

t.test('several processes share a port, and one that dies is replaced', async (t) => {
  const began = performance.now()
  const group = await startGroup(t)
  const before = await answering(group.url)
  t.equal(before.size, 2)
  t.notOk(before.has(group.process.pid as number), 'the supervisor itself serves nobody')
  const alone = group.said.stdout.match(/each of the 2 processes has a cache, tasks and counts/g)
  t.equal(alone?.length, 1, 'without Redis one of them says what none shares')
  const [victim = 0, survivor = 0] = before
  const age = performance.now() - began
  process.kill(victim, 'SIGKILL')
  await group.until('stdout', /"signal":"SIGKILL","msg":"a process has died/)
  await poll(async () => (await answering(group.url)).size === 2)
  const after = await answering(group.url)
  t.ok(after.has(survivor))
  t.notOk(after.has(victim))
  group.process.kill('SIGUSR2')
  const [line] = await group.until('stdout', /.*"msg":"state".*/)
  const { workers, crashes } = JSON.parse(line)
  t.strictSame(new Set(workers.map(({ pid }: Told) => pid)), after)
  t.match(workers, [{ state: 'serving' }, { state: 'serving' }])
  // That of one that has been there for ten seconds does not count.
  t.ok(crashes === 1 || (crashes === 0 && age > 9000), `${crashes} after ${age} ms`)
  t.match(await end(group), { code: 0, signal: null, stderr: '' })
  for (const pid of after) t.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
})

t.test('SIGHUP: new code and variables, without a request that fails', async (t) => {
  const group = await startGroup(t)
  const old = await answering(group.url)
  const clients = load(group.url)
  writeFileSync(join(group.service, 'src/things.ts'), release('second'))
  writeFileSync(join(group.service, '.env'), 'MOOD=cheerful\n')
  group.process.kill('SIGHUP')
  await group.until('stdout', /"msg":"the processes are replaced"/)
  const { failures, releases, answers } = await clients.stop()
  t.strictSame(failures, [])
  t.ok(answers > 0)
  t.strictSame(releases.sort(), ['first', 'second'])
  const told = await Promise.all(Array.from({ length: 12 }, () => ask(group.url)))
  t.strictSame(new Set(told.map(({ release }) => release)), new Set(['second']))
  for (const { pid } of told) t.notOk(old.has(pid))
  t.match(await end(group), { code: 0, stderr: '' })
})

t.test('SIGHUP with code that does not start: the old processes go on', async (t) => {
  const group = await startGroup(t)
  const before = await answering(group.url)
  writeFileSync(join(group.service, 'src/things.ts'), BROKEN)
  group.process.kill('SIGHUP')
  await group.until('stdout', /"msg":"a new process does not start: those that serve stay"/)
  t.strictSame(await answering(group.url), before)
  writeFileSync(join(group.service, 'src/things.ts'), release('third'))
  group.process.kill('SIGHUP')
  await group.until('stdout', /"msg":"the processes are replaced"/)
  t.match(await ask(group.url), { release: 'third' })
  const { code, stderr } = await end(group)
  t.equal(code, 0)
  t.match(stderr, 'not today', 'the process itself has told why')
})

t.test('one that dies while its successor starts is replaced once', async (t) => {
  const group = await startGroup(t)
  const hold = `${group.gate}.hold`
  writeFileSync(hold, '')
  group.process.kill('SIGHUP')
  let workers: State[] = []
  await poll(async () => {
    workers = await group.states()
    return workers.some(({ state }) => state === 'starting')
  })
  const { pid } = workers.find(({ state }) => state === 'serving') as State
  process.kill(pid, 'SIGKILL')
  await group.until('stdout', /"msg":"a process has died/)
  rmSync(hold)
  await group.until('stdout', /"msg":"the processes are replaced"/)
  await poll(async () => {
    workers = await group.states()
    return workers.every(({ state }) => state === 'serving')
  })
  t.equal(workers.length, 2)
  t.match(await end(group), { code: 0, signal: null, stderr: '' })
})

t.test('SIGTERM: a request under way is answered, then all have ended', async (t) => {
  const group = await startGroup(t)
  const answer = ask(group.url, '/things/wait')
  await group.until('stdout', /"msg":"waiting"/)
  group.process.kill('SIGTERM')
  await group.until('stdout', /"signal":"SIGTERM","msg":"the process ends"/)
  writeFileSync(group.gate, '')
  t.match(await answer, { release: 'first' })
  t.match(await group.ended, { code: 0, stderr: '' })
  t.notOk(await isListening(Number(new URL(group.url).port)))
})

const ENDS = /("msg":"the process ends"[\s\S]*){2}/

t.test('SIGTERM to a process and to its supervisor is one signal', async (t) => {
  const group = await startGroup(t)
  const answer = ask(group.url, '/things/wait')
  const [line] = await group.until('stdout', /.*"msg":"waiting".*/)
  process.kill(JSON.parse(line).pid, 'SIGTERM')
  await group.until('stdout', /"msg":"the process ends"/)
  group.process.kill('SIGTERM')
  await group.until('stdout', ENDS)
  writeFileSync(group.gate, '')
  t.match(await answer, { release: 'first' })
  t.match(await group.ended, { code: 0, signal: null, stderr: '' })
})

t.test('SIGTERM to a process that its supervisor has told to end is the first', async (t) => {
  const group = await startGroup(t)
  const answer = ask(group.url, '/things/wait')
  const [line] = await group.until('stdout', /.*"msg":"waiting".*/)
  const { pid } = JSON.parse(line)
  group.process.kill('SIGTERM')
  await group.until('stdout', ENDS)
  process.kill(pid, 'SIGTERM')
  await group.until('stdout', /"msg":"signalled"/)
  writeFileSync(group.gate, '')
  t.match(await answer, { release: 'first', pid })
  t.match(await group.ended, { code: 0, signal: null, stderr: '' })
})

t.test('SIGTERM to all processes of a group at once ends them in order', async (t) => {
  const group = await startGroup(t)
  const answer = ask(group.url, '/things/wait')
  await group.until('stdout', /"msg":"waiting"/)
  process.kill(-(group.process.pid as number), 'SIGTERM')
  await group.until('stdout', ENDS)
  writeFileSync(group.gate, '')
  t.match(await answer, { release: 'first' })
  t.match(await group.ended, { code: 0, signal: null, stderr: '' })
})

t.test('Ctrl-C on a terminal, which reaches all processes of a group, is one signal', async (t) => {
  const service = writeService(t, { 'src/things.ts': release('first') })
  const gate = join(service, 'gate')
  const env = { ...BARE, GATE: gate, SHUTDOWN_TIMEOUT: '20000' }
  const args = ['serve', '--workers', '2', '--port', '0']
  const terminal = startOnTerminal(t, args, { service, env })
  const [, url = ''] = await terminal.until('stdout', /Server listening at (http:[\d.:/]+)/)
  await terminal.until('stdout', /serving\S*\s+\S*workers\S* 2/)
  const answer = ask(url, '/things/wait')
  await terminal.until('stdout', /waiting/)
  terminal.type('\x03')
  await terminal.until('stdout', /(the process ends[\s\S]*){2}/)
  writeFileSync(gate, '')
  t.match(await answer, { release: 'first' })
  const { code, stdout } = await terminal.ended
  t.equal(code, 0)
  t.notMatch(stdout, 'second SIGINT')
})

t.test('SIGTERM while some are starting ends all of them, with exit code 0', async (t) => {
  const service = writeService(t)
  const args = ['--workers', '4', '--port', '0']
  const group = await startServe(t, { service, args, env: BARE })
  // One serves, the others are being started.
  t.match(await end(group), { code: 0, stderr: '' })
})

t.test('a second signal ends it at once, with exit code 1', async (t) => {
  const group = await startGroup(t)
  const answer = ask(group.url, '/things/wait').catch((error) => error.code)
  await group.until('stdout', /"msg":"waiting"/)
  group.process.kill('SIGTERM')
  // Each of them has had the first one: two that are there at once are one.
  await group.until('stdout', ENDS)
  group.process.kill('SIGTERM')
  t.match(await group.ended, { code: 1 })
  t.equal(await answer, 'ECONNRESET')
})

t.test('a signal that comes when all have ended does not count', async (t) => {
  const group = await startGroup(t)
  const pids = await answering(group.url)
  group.process.kill('SIGTERM')
  const isThere = (pid: number) => {
    try {
      return process.kill(pid, 0)
    } catch {
      return false
    }
  }
  const late = performance.now() + 60_000
  // Without a turn of the loop: the supervisor has nothing to do any more but to end.
  while ([...pids].some(isThere) && performance.now() < late);
  group.process.kill('SIGINT')
  t.match(await group.ended, { code: 0, signal: null })
})

t.test('the processes end in order where their supervisor is killed', async (t) => {
  const group = await startGroup(t)
  const pids = await answering(group.url)
  const answer = ask(group.url, '/things/wait')
  await group.until('stdout', /"msg":"waiting"/)
  group.process.kill('SIGKILL')
  await group.until('stdout', /"msg":"the process ends"/)
  writeFileSync(group.gate, '')
  t.match(await answer, { release: 'first' })
  // Whoever still ran would hold the pipes open.
  const { stdout } = await group.ended
  const ends = logLines(stdout).filter(({ msg }) => msg === 'the process ends')
  t.strictSame(new Set(ends.map(({ pid }) => pid)), pids)
})

t.test('a process that is frozen is killed and replaced, and no client waits for it', async (t) => {
  const group = await startGroup(t, ['--max-silence', '15'])
  const [victim = 0, survivor = 0] = await answering(group.url)
  process.kill(victim, 'SIGSTOP')
  // One of them is handed to it.
  const asked = Array.from({ length: 6 }, () =>
    ask(group.url).then(
      () => 'answered',
      ({ code }) => code,
    ),
  )
  await group.until('stdout', /"msg":"nothing is heard of a process for 15 s, and it is killed"/)
  await group.until('stdout', /"signal":"SIGKILL","msg":"a process has died/)
  t.strictSame(await Promise.all(asked), Array(6).fill('answered'))
  await poll(async () => (await answering(group.url)).size === 2)
  const after = await answering(group.url)
  t.ok(after.has(survivor))
  t.notOk(after.has(victim))
  t.match(await end(group), { code: 0, stderr: '' })
})

for (const limit of ['--max-age', '--max-memory']) {
  t.test(`a process that is over its limit is replaced: ${limit}`, async (t) => {
    // Every one is older soon, and takes more.
    const group = await startGroup(t, [limit, '1'])
    const before = await answering(group.url)
    const clients = load(group.url)
    await group.until('stdout', /"msg":"a process is over its limit, and is replaced"/)
    await poll(async () => [...(await answering(group.url))].every((pid) => !before.has(pid)))
    t.strictSame((await clients.stop()).failures, [])
    t.match(await end(group), { code: 0 })
  })
}

t.test('what cannot start is told, and is no group', async (t) => {
  const service = writeService(t, { 'src/things.ts': BROKEN })
  const args = ['serve', '--workers', '2', '--port', '0']
  const { code, stdout, stderr } = await manage(t, args, { service, env: BARE })
  t.equal(code, 1)
  t.match(stderr, 'not today')
  t.match(logLines(stdout).at(-1), { msg: 'the processes do not start' })
})

t.test('what does not start beside one that serves is tried again', async (t) => {
  const second = `
import { appendFileSync, readFileSync } from 'node:fs'
appendFileSync(process.env.GATE, '.')
if (readFileSync(process.env.GATE).length === 2) throw new Error('not today')
${release('first')}`
  const service = writeService(t, { 'src/things.ts': second })
  const args = ['--workers', '2', '--port', '0']
  const env = { ...BARE, GATE: join(service, 'starts'), REDIS_URL: undefined }
  const group = await startServe(t, { service, args, env })
  await group.until('stdout', /"attempts":1,"msg":"a process does not start"/)
  await poll(async () => (await answering(group.url)).size === 2)
  t.match(await end(group), { code: 0, signal: null })
})

t.test('schedules that each process would start are refused', async (t) => {
  const service = writeService(t, {
    'src/things.ts': release('first').replace(
      "summary: 'Wait',",
      "summary: 'Wait', schedule: '0 3 * * *',",
    ),
  })
  const args = ['serve', '--workers', '2', '--port', '0']
  const { code, stderr } = await manage(t, args, { service, env: BARE })
  t.equal(code, 1)
  t.match(stderr, 'error REDIS_MISSING: The schedules of each process')
})

t.test('wrong usage', async (t) => {
  const service = writeService(t)
  for (const args of [
    ['--workers', '0'],
    ['--workers', 'many'],
    ['--workers', '2', '--watch'],
    ['--max-age', '5'],
  ]) {
    const { code, stdout } = await manage(t, ['serve', ...args], { service, env: BARE, input: '' })
    t.strictSame([code, stdout], [2, ''], args.join(' '))
  }
})
