import { AsyncLocalStorage } from 'node:async_hooks'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { promisify } from 'node:util'
import t from 'tap'
import { DeadlineQueue, type Timed } from '../src/deadlines.ts'
import { block } from './helpers/block.ts'

interface Entry extends Timed {
  name: string
}

const entry = (name: string): Entry => ({ name, at: 0, earlier: undefined, later: undefined })

/** A queue, the names of those that have expired in it, and a promise for the next that does. */
function collect(timeout: number) {
  const expired: string[] = []
  let next = Promise.withResolvers<Entry>()
  const queue = new DeadlineQueue<Entry>(timeout, (late) => {
    expired.push(late.name)
    next.resolve(late)
    next = Promise.withResolvers()
  })
  return { queue, expired, next: () => next.promise }
}

t.test('what waits expires in its order and no sooner than said', async (t) => {
  const { queue, expired, next } = collect(20)
  const early: string[] = []
  const start = performance.now()
  for (const name of ['a', 'b', 'c']) {
    queue.add(entry(name))
    block(5)
  }
  while (expired.length < 3) {
    const late = await next()
    if (performance.now() < late.at || late.at < start + 20) early.push(late.name)
  }
  t.strictSame(expired, ['a', 'b', 'c'])
  t.strictSame(early, [])
})

t.test('what is taken out never expires, wherever it stood', async (t) => {
  const { queue, expired, next } = collect(10)
  const all = Array.from({ length: 60 }, (_, i) => entry(`${i}`))
  for (const one of all) queue.add(one)
  // The first, the last, neighbours, in no order, and some of them twice.
  const out = [0, 59, 30, 31, 29, 1, 58, 30, 0]
  for (const i of out) queue.remove(all[i] as Entry)
  queue.remove(entry('never in it'))
  while (expired.at(-1) !== '57') await next()
  t.strictSame(
    expired,
    all.map(({ name }) => name).filter((name) => !out.includes(Number(name))),
  )
})

t.test('it is used on after it was empty', async (t) => {
  const { queue, expired, next } = collect(5)
  for (const name of ['a', 'b', 'c']) {
    const gone = entry('gone')
    queue.add(gone)
    queue.remove(gone)
    queue.add(entry(name))
    await next()
  }
  t.strictSame(expired, ['a', 'b', 'c'])
  const again = entry('again')
  queue.add(again)
  queue.remove(again)
  queue.add(again)
  t.equal(await next(), again, 'one that was taken out may be put in again')
})

t.test('an answer that came while the process stood still is in time', async (t) => {
  const server = createServer()
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const accepted = once(server, 'connection')
  const socket = connect((server.address() as { port: number }).port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  const [peer] = (await accepted) as [Socket]
  t.teardown(() => peer.destroy())
  const { queue, expired } = collect(10)
  const waiting = entry('answered')
  const answered = once(socket, 'data')
  socket.once('data', () => queue.remove(waiting))
  queue.add(waiting)
  peer.write('answer')
  block(50)
  await answered
  await new Promise(setImmediate)
  t.strictSame(expired, [])
})

t.test('who is told is in the context of none of them', async (t) => {
  const storage = new AsyncLocalStorage<string>()
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const queue = new DeadlineQueue<Entry>(5, () => resolve(storage.getStore()))
  storage.run('that of the first', () => queue.add(entry('a')))
  t.equal(await promise, undefined)
})

t.test('a time that no timer can wait for is waited for', async (t) => {
  const never = [2 ** 31 + 5, Number.POSITIVE_INFINITY].map((timeout) => {
    const { queue, expired } = collect(timeout)
    const kept = entry('kept')
    queue.add(kept)
    t.teardown(() => queue.remove(kept))
    return { expired, kept }
  })
  const { queue, next } = collect(20)
  queue.add(entry('a'))
  await next()
  t.strictSame(
    never.map(({ expired }) => expired),
    [[], []],
  )
  t.ok((never[0]?.kept.at as number) > performance.now() + 2 ** 31 - 10_000)
})

t.test('one that is told may add another, and may fail', async (t) => {
  const { stdout } = await runChild(`
    process.on('uncaughtException', ({ message }) => console.log('failed', message))
    const queue = new DeadlineQueue(5, ({ name }) => {
      console.log(name)
      if (name === 'a') queue.add(entry('d'))
      if (name === 'b') throw new Error(name)
    })
    for (const name of ['a', 'b', 'c']) queue.add(entry(name))
  `)
  t.strictSame(stdout.split('\n'), ['a', 'b', 'failed b', 'c', 'd', ''])
})

t.test('the process lives on as long as anything waits, and no longer', async (t) => {
  const late = await runChild(`
    const queue = new DeadlineQueue(50, () => console.log('late'))
    queue.add(entry('a'))
  `)
  t.equal(late.stdout, 'late\n')
  const done = await runChild(`
    const queue = new DeadlineQueue(2 ** 30, () => {})
    const waiting = entry('a')
    queue.add(waiting)
    queue.remove(waiting)
    console.log('done')
  `)
  t.equal(done.stdout, 'done\n')
})

function runChild(code: string): Promise<{ stdout: string }> {
  const source = `
    import { DeadlineQueue } from ${JSON.stringify(new URL('../src/deadlines.ts', import.meta.url).href)}
    const entry = (name) => ({ name, at: 0, earlier: undefined, later: undefined })
    ${code}`
  const options = { timeout: 120_000 }
  return promisify(execFile)(process.execPath, ['--input-type=module', '-e', source], options)
}

t.test('what has begun before it was added expires by when it began', async (t) => {
  const { queue, expired, next } = collect(60)
  const now = performance.now()
  queue.add(entry('now'), now)
  queue.add(entry('earlier'), now - 50)
  queue.add(entry('long ago'), now - 1000)
  while (expired.length < 3) await next()
  t.strictSame(expired, ['long ago', 'earlier', 'now'])
})
