import { createHash } from 'node:crypto'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Kysely } from 'kysely'
import {
  createApp,
  type DiskFile,
  defineModule,
  defineResource,
  defineService,
  file,
  rows,
  saveFile,
  stream,
  Type,
} from '../src/index.ts'
import { answer } from './answer.ts'

// Takes files, gives rows, and tells how much memory that takes.

type Rows = Kysely<{ prove_row: { n: number; name: string; size: number } }>

const buffer = Buffer.alloc(2 ** 16)

const form = defineResource({
  summary: 'A file in a form',
  method: 'POST',
  path: '/form',
  timeout: 0,
  request: Type.Object({ note: Type.String(), content: file({ maxBytes: 2e9 }) }),
  response: Type.String(),
  upload: { folder: process.cwd() },
  async perform({ content }) {
    const hash = createHash('sha256')
    // Into the same bytes again and again: it is not the reading here whose memory is looked at.
    const file = await open((content as DiskFile).path)
    try {
      for (;;) {
        const { bytesRead } = await file.read(buffer)
        if (bytesRead === 0) return hash.digest('hex')
        hash.update(buffer.subarray(0, bytesRead))
      }
    } finally {
      await file.close()
    }
  },
})
const alone = defineResource({
  summary: 'A file alone',
  method: 'PUT',
  path: '/alone',
  timeout: 0,
  request: Type.Object({ content: file({ maxBytes: 2e9 }) }),
  response: Type.Integer(),
  async perform({ content }) {
    const path = join(process.cwd(), 'alone')
    const size = await saveFile(content, path)
    await rm(path)
    return size
  },
})
const all = defineResource({
  summary: 'All rows',
  path: '/rows',
  response: stream('application/x-ndjson'),
  perform: (_, { db }) =>
    rows((db as unknown as Rows).selectFrom('prove_row').selectAll(), { as: 'ndjson', key: ['n'] }),
})
const small = defineResource({
  summary: 'What others ask for',
  path: '/small',
  response: Type.Integer(),
  async perform(_, { db }) {
    const first = (db as unknown as Rows).selectFrom('prove_row').select('n').where('n', '=', 1)
    return (await first.executeTakeFirst())?.n ?? 0
  },
})

const service = defineService({
  name: 'files',
  modules: {
    files: defineModule({ prefix: '/files', resources: { form, alone, all, small } }),
  },
})
const app = await createApp(service, { logger: false })
const url = await app.listen({ host: '127.0.0.1', port: 0 })

let [base, peak] = [0, 0]
let timer: NodeJS.Timeout | undefined
const look = () => {
  peak = Math.max(peak, process.memoryUsage.rss())
}

answer({
  url: () => url,
  async fill(count: number) {
    const db = app.db as unknown as Rows
    await db.schema
      .createTable('prove_row')
      .addColumn('n', 'integer', (column) => column.primaryKey())
      .addColumn('name', 'varchar(60)')
      .addColumn('size', 'integer')
      .execute()
    for (let start = 0; start < count; start += 500) {
      const values = Array.from({ length: Math.min(500, count - start) }, (_, i) => ({
        n: start + i + 1,
        name: `The row with the number ${start + i + 1}`,
        size: (start + i) % 1000,
      }))
      await db.insertInto('prove_row').values(values).execute()
    }
  },
  watch() {
    clearInterval(timer)
    base = peak = process.memoryUsage.rss()
    timer = setInterval(look, 20)
  },
  grown() {
    clearInterval(timer)
    look()
    return peak - base
  },
})
