import { randomBytes } from 'node:crypto'
import t from 'tap'
import { decode, encode } from '../../src/cache/entries.ts'

const item = (text: string) => ({
  ...{ text, tags: ['a', 'ü', ''] },
  ...{ stored: -5.5, fresh: 1.5, until: 2 ** 41 },
})

t.test('what is encoded is decoded', async (t) => {
  for (const text of [
    '',
    '1',
    '"ü\u{1f600}"',
    'x'.repeat(1_000_000),
    randomBytes(2000).toString('hex'),
  ]) {
    for (const compress of [true, false]) {
      const record = encode('key', item(text), 1000, compress)
      t.strictSame(decode(record, 1000), { key: 'key', ...item(text) })
      t.match(decode(record, 0), { stored: 994.5, fresh: 1001.5 }, 'by another clock')
    }
  }
})

t.test('long texts are compressed, unless that is not wanted or worth it', async (t) => {
  const long = 'abc'.repeat(10_000)
  t.ok(encode('key', item(long), 0).length < 500)
  t.ok(encode('key', item(long), 0, false).length > 30_000)
  const short = 'abc'.repeat(300)
  t.equal(encode('key', item(short), 0).length, encode('key', item(short), 0, false).length)
})

t.test('whatever else is no entry, and no error', async (t) => {
  const good = encode('key', item('abc'.repeat(1000)), 0)
  const bad: Buffer[] = [
    Buffer.alloc(0),
    Buffer.from('{"json":1}'),
    randomBytes(35),
    randomBytes(36),
  ]
  for (let length = 0; length < good.length; length++) bad.push(good.subarray(0, length))
  for (let at = 0; at < good.length; at++) {
    const changed = Buffer.from(good)
    changed.writeUInt8(changed.readUInt8(at) ^ (1 << (at % 8)), at)
    bad.push(changed)
  }
  for (let n = 0; n < 1000; n++) bad.push(randomBytes(n), Buffer.concat([good, randomBytes(1)]))
  t.strictSame(
    bad.filter((record) => decode(record, 0) !== undefined),
    [],
  )
})
