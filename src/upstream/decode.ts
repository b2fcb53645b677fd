import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'

type Decoder = (
  body: Buffer,
  options: { maxOutputLength: number },
  done: (error: Error | null, decoded: Buffer) => void,
) => void

const DECODERS: Readonly<Record<string, Decoder>> = {
  gzip: gunzip,
  'x-gzip': gunzip,
  deflate: inflate,
  br: brotliDecompress,
  zstd: zstdDecompress,
}

/**
 * Decompresses a body.
 *
 * @param limit bytes that may come out of it: a few kilobytes can be made to hold gigabytes
 * @param done told what is wrong with it, else what came out
 */
export function decode(
  body: Buffer,
  encoding: string,
  limit: number,
  done: (problem: string | undefined, decoded?: Buffer) => void,
): void {
  const name = encoding.trim().toLowerCase()
  if (name === 'identity') {
    done(undefined, body)
    return
  }
  const decoder = Object.hasOwn(DECODERS, name) ? DECODERS[name] : undefined
  if (!decoder) {
    done(`its answer has the content encoding ${name}, which is not read here`)
    return
  }
  decoder(body, { maxOutputLength: limit }, (error, decoded) => {
    const { code } = (error ?? {}) as NodeJS.ErrnoException
    if (!error) done(undefined, decoded)
    else if (code === 'ERR_BUFFER_TOO_LARGE')
      done(`its answer is longer than ${limit} bytes when it is decompressed`)
    else done(`its answer is no valid ${name}`)
  })
}
