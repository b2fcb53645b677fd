type Decoder = (
  body: Buffer,
  options: { maxOutputLength: number },
  done: (error: Error | null, decoded: Buffer) => void,
) => void

/** What reads an encoding, in `node:zlib`: that is loaded with the first answer that is compressed. */
const DECODERS = {
  gzip: 'gunzip',
  'x-gzip': 'gunzip',
  deflate: 'inflate',
  br: 'brotliDecompress',
  zstd: 'zstdDecompress',
} as const

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
  if (!Object.hasOwn(DECODERS, name)) {
    done(`its answer has the content encoding ${name}, which is not read here`)
    return
  }
  const decoder: Decoder =
    process.getBuiltinModule('node:zlib')[DECODERS[name as keyof typeof DECODERS]]
  decoder(body, { maxOutputLength: limit }, (error, decoded) => {
    const { code } = (error ?? {}) as NodeJS.ErrnoException
    if (!error) done(undefined, decoded)
    else if (code === 'ERR_BUFFER_TOO_LARGE')
      done(`its answer is longer than ${limit} bytes when it is decompressed`)
    else done(`its answer is no valid ${name}`)
  })
}
