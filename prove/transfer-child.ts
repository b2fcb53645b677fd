import { createHash } from 'node:crypto'
import { request } from 'node:http'
import { Readable } from 'node:stream'
import { json } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodeFile, encodeMultipart } from '../src/upstream/body.ts'
import { answer } from './answer.ts'

// Sends and receives what is large, in a process of its own: whoever measures others is not kept waiting by it.

export interface Transferred {
  arrived: unknown
  expected: unknown
}

interface Order {
  url: string
  /** MB, or thousands of rows. */
  size: number
}

const CHUNK = Buffer.alloc(2 ** 16, 'The quick brown fox jumps over the lazy dog. ')
const MEGABYTE = 2 ** 20
/** Bytes in a second: what a client with 200 Mbit/s sends and reads. On one machine there is no end to it but its processors. */
const PACE = 25 * MEGABYTE

/** Waits until so many bytes more may have come. */
function pace(): (bytes: number) => Promise<void> {
  const began = performance.now()
  let all = 0
  return async (bytes) => {
    all += bytes
    const early = (all / PACE) * 1000 - (performance.now() - began)
    if (early > 1) await sleep(early)
  }
}

function content(size: number) {
  const count = (size * MEGABYTE) / CHUNK.length
  const chunks = async function* () {
    const keepPace = pace()
    for (let i = 0; i < count; i++) {
      yield CHUNK
      await keepPace(CHUNK.length)
    }
  }
  const upload = { stream: Readable.from(chunks(), { objectMode: false }), size: size * MEGABYTE }
  return { upload, count }
}

async function send(
  url: string,
  method: string,
  { body, headers }: ReturnType<typeof encodeFile>,
): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  const sending = request(url, { method, headers })
  sending.once('error', reject)
  sending.once('response', (response) => json(response).then(resolve, reject))
  await pipeline(body as Readable, sending)
  return ((await promise) as { data: unknown }).data
}

answer({
  async form({ url, size }: Order): Promise<Transferred> {
    const { upload, count } = content(size)
    const hash = createHash('sha256')
    const encoded = encodeMultipart({ note: 'large', content: upload })
    const arrived = await send(`${url}/files/form`, 'POST', encoded)
    for (let i = 0; i < count; i++) hash.update(CHUNK)
    return { arrived, expected: hash.digest('hex') }
  },
  async alone({ url, size }: Order): Promise<Transferred> {
    const { upload } = content(size)
    const arrived = await send(`${url}/files/alone`, 'PUT', encodeFile(upload))
    return { arrived, expected: size * MEGABYTE }
  },
  async rows({ url, size }: Order): Promise<Transferred> {
    const response = await fetch(`${url}/files/rows`)
    const keepPace = pace()
    let [arrived, last] = [0, '']
    for await (const text of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const lines = (last + text).split('\n')
      last = lines.pop() ?? ''
      arrived += lines.length
      await keepPace(text.length)
    }
    return { arrived, expected: size * 1000 }
  },
})
