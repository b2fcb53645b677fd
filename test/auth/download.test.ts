import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { fetchJson } from '../../src/auth/download.ts'
import { failure } from '../helpers/app.ts'
import { block } from '../helpers/block.ts'
import { hangingOn } from '../helpers/hanging-on.ts'

const BOUNDS = { maxBytes: 100, timeout: 60_000 }

t.test(
  'what has been fetched leaves nothing on the signals that would have ended it',
  async (t) => {
    const server = createServer((_, response) => response.end('{"keys":[]}')).listen(0, '127.0.0.1')
    t.teardown(() => server.close())
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const [{ signal }, ending] = [new AbortController(), new AbortController()]
    for (let i = 0; i < 5; i++) {
      const { value } = await fetchJson(url, { signal }, { ...BOUNDS, signal: ending.signal })
      t.strictSame(value, { keys: [] })
    }
    t.strictSame([hangingOn(signal), hangingOn(ending.signal)], [0, 0])
    const reading = failure(fetchJson(url, { signal }, { ...BOUNDS, signal: ending.signal }))
    ending.abort(new Error('enough'))
    t.equal((await reading).message, 'enough')
  },
)

t.test('what has come while the process stood still is not late', async (t) => {
  const server = createServer((_, response) => {
    response.end('{"keys":[]}')
    block(1100)
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { signal } = new AbortController()
  const { value } = await fetchJson(url, { signal }, { ...BOUNDS, timeout: 1000, signal })
  t.strictSame(value, { keys: [] })
})
