import type { Item } from './entry.ts'

// magic PC, version, flags | crc32 of all the rest | fresh | until | length of the header | header | text
const MAGIC = 0x5043
const VERSION = 1
const COMPRESSED = 1
const FIXED = 28
/** Shorter texts are not compressed: it would take longer than sending them. */
const LONG = 1024
/** No text is longer: bytes that claim to be are none of ours. */
const LIMIT = 256 * 1024 * 1024

/** Loaded with the first entry: a process without Redis has none. */
const zlib = () => process.getBuiltinModule('node:zlib')

/** What Redis holds of an entry: its key and tags, checked by a sum, a long text compressed. */
export function encode(key: string, item: Item, compress = true): Buffer {
  const header = Buffer.from(JSON.stringify([key, item.tags]))
  const plain = Buffer.from(item.text)
  const packed = compress && plain.length >= LONG ? zlib().zstdCompressSync(plain) : plain
  const compressed = packed.length < plain.length
  const record = Buffer.concat([Buffer.alloc(FIXED), header, compressed ? packed : plain])
  record.writeUInt16BE(MAGIC, 0)
  record.writeUInt8(VERSION, 2)
  record.writeUInt8(compressed ? COMPRESSED : 0, 3)
  record.writeDoubleBE(item.fresh, 8)
  record.writeDoubleBE(item.until, 16)
  record.writeUInt32BE(header.length, 24)
  record.writeUInt32BE(sumOf(record), 4)
  return record
}

/** The entry and its key, or `undefined` where these bytes are no record. */
export function decode(record: Buffer): (Item & { key: string }) | undefined {
  if (!isRecord(record)) return undefined
  try {
    const end = FIXED + record.readUInt32BE(24)
    const [key, tags] = JSON.parse(record.toString('utf8', FIXED, end))
    const rest = record.subarray(end)
    const compressed = record.readUInt8(3) === COMPRESSED
    const text = compressed ? zlib().zstdDecompressSync(rest, { maxOutputLength: LIMIT }) : rest
    const times = { fresh: record.readDoubleBE(8), until: record.readDoubleBE(16) }
    return { key, tags, text: text.toString(), ...times }
  } catch {
    return undefined
  }
}

const isRecord = (record: Buffer): boolean =>
  record.length >= FIXED &&
  record.readUInt16BE(0) === MAGIC &&
  record.readUInt8(2) === VERSION &&
  record.readUInt32BE(4) === sumOf(record)

function sumOf(record: Buffer): number {
  const { crc32 } = zlib()
  return crc32(record.subarray(8), crc32(record.subarray(0, 4)))
}
