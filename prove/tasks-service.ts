import { openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineModule, defineResource, defineService, Type } from '../src/index.ts'

const { RECORD = '' } = process.env

const file = RECORD ? openSync(RECORD, 'a') : 0

/** Resolves when this process has run a task. */
export const worked = Promise.withResolvers<void>()

/** Works a little, not all of them equally long, and writes down, outside of Redis, who has: processes append whole lines. */
export async function work(n: number): Promise<void> {
  await sleep(1 + (n % 9))
  writeSync(file, `${n} ${process.pid}\n`)
  worked.resolve()
}

const run = defineResource({
  summary: 'Work',
  method: 'POST',
  request: Type.Object({ n: Type.Integer() }),
  response: Type.Null(),
  async perform({ n }) {
    await work(n)
    return null
  },
})

export default defineService({
  name: 'prove',
  modules: { works: defineModule({ prefix: '/works', resources: { run } }) },
})
