import { type Readable, Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { errors } from '../errors.ts'

const DECODERS = { gzip: createGunzip, deflate: createInflate, br: createBrotliDecompress }

export type Encoding = keyof typeof DECODERS

export const ENCODINGS = Object.keys(DECODERS) as readonly Encoding[]

/**
 * Decodes `source`, which is only unpiped when that fails or is given up: as the body of a request it is still to be
 * read, for its client to get an answer. Fails with BAD_REQUEST where the bytes are not valid, and with PAYLOAD_TOO_LARGE
 * as soon as more than `limit` bytes have come out, whatever would follow.
 */
export function createDecoder(encoding: Encoding, source: Readable, limit: number): Readable {
  let size = 0
  const decoder = DECODERS[encoding]()
  const decoded = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length
      if (size > limit) done(errors.PAYLOAD_TOO_LARGE(limit))
      else done(null, chunk)
    },
    destroy(error, done) {
      source.unpipe(decoder)
      decoder.destroy()
      source.resume()
      done(error)
    },
  })
  // What Fastify compares with Content-Length.
  const counted = Object.assign(decoded, { receivedEncodedLength: 0 })
  source.on('data', (chunk: Buffer) => {
    counted.receivedEncodedLength += chunk.length
  })
  source.once('error', (error) => decoded.destroy(error))
  decoder.once('error', (cause) =>
    decoded.destroy(errors.BAD_REQUEST.with({ cause }, `the body is no valid ${encoding}`)),
  )
  // Who has refused it already does not listen any more.
  decoded.on('error', () => {})
  source.pipe(decoder).pipe(decoded)
  return counted
}
