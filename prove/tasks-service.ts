import { openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineModule, defineResource, defineService, Type } from 'plinth'

const { RECORD = '' } = process.env

// Outside of where tasks are kept: processes append whole lines.
const open = (path: string) => (RECORD ? openSync(path, 'a') : 0)
const [ran, begun] = [open(RECORD), open(poisonRecord(RECORD))]

/** Where it is written down which poison has begun, beside those that have run. */
export function poisonRecord(record: string): string {
  return `${record}.poison`
}

/** Works a little, not all of them equally long, and writes down who has. */
export async function work(n: number): Promise<void> {
  await sleep(1 + 5 * (n % 9))
  writeSync(ran, `${n} ${process.pid}\n`)
}

const Numbered = Type.Object({ n: Type.Integer() })

const run = defineResource({
  summary: 'Work',
  method: 'POST',
  path: '/run',
  request: Numbered,
  response: Type.Null(),
  async perform({ n }) {
    await work(n)
    return null
  },
})

const poison = defineResource({
  summary: 'End the process, as what takes all memory does, while others run beside it',
  method: 'POST',
  path: '/poison',
  request: Numbered,
  response: Type.Null(),
  async perform({ n }) {
    writeSync(begun, `${n} ${process.pid}\n`)
    await sleep(20)
    process.kill(process.pid, 'SIGKILL')
    return await new Promise<never>(() => {})
  },
})

export default defineService({
  name: 'prove',
  modules: { works: defineModule({ prefix: '/works', resources: { run, poison } }) },
})
