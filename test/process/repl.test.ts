import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { evaluate } from '../../src/process/repl.ts'

const app = { run: (fn: () => unknown) => fn() } as FastifyInstance
const run = (code: string) => evaluate(code, { app, db: 'the database', two: 2 })

t.test('an expression is its value', async (t) => {
  t.equal(await run('1 + two'), 3)
  t.equal(await run('db'), 'the database')
  t.equal(await run('app'), app)
  t.strictSame(await run('{ a: two }'), { a: 2 }, 'an object, no block')
  t.equal(await run('await Promise.resolve(two) // a comment'), 2)
  t.equal(await run('(await import("node:path")).sep'), '/')
})

t.test('of statements it is what they return', async (t) => {
  t.equal(await run('const a = await Promise.resolve(1); return a + two'), 3)
  t.equal(await run('const a = 1; a + two'), undefined)
  t.equal(await run(''), undefined)
  t.equal(await run('let sum = 0\nfor (const one of [1, 2]) sum += one\nreturn sum'), 3)
})

t.test('it runs in a context of the app', async (t) => {
  const calls: unknown[] = []
  const inside = { run: (fn: () => unknown) => [calls.push('run'), fn()][1] } as FastifyInstance
  t.equal(await evaluate('app.a', { app: Object.assign(inside, { a: 1 }) }), 1)
  t.strictSame(calls, ['run'])
})

t.test('what it throws is thrown', async (t) => {
  await t.rejects(run('throw new TypeError("no")'), new TypeError('no'))
  await t.rejects(run('Promise.reject(new Error("later"))'), new Error('later'))
  await t.rejects(run('1 +'), SyntaxError)
  await t.rejects(run('nosuch'), { name: 'ReferenceError', message: 'nosuch is not defined' })
})
