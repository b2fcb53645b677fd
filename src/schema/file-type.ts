/** The first bytes of files by their media types, and where they stand; of others nothing is known. */
const SIGNATURES: Readonly<Record<string, readonly [at: number, ...bytes: string[]]>> = {
  'image/png': [0, '\x89PNG\r\n\x1a\n'],
  'image/jpeg': [0, '\xff\xd8\xff'],
  'image/gif': [0, 'GIF87a', 'GIF89a'],
  'image/webp': [8, 'WEBP'],
  'application/pdf': [0, '%PDF-'],
  'application/zip': [0, 'PK\x03\x04', 'PK\x05\x06'],
  'application/gzip': [0, '\x1f\x8b'],
  'video/mp4': [4, 'ftyp'],
}

/** How many bytes there have to be to look at. */
export const SIGNATURE_BYTES = 12

/** Why a file that says it is of `type` is not taken where only `types` are; undefined: it is. */
export function problemOfType(
  types: readonly string[] | undefined,
  type: string,
): string | undefined {
  if (!types) return undefined
  const said = plain(type)
  const isTaken = types.some((one) => {
    const wanted = plain(one)
    return wanted.endsWith('/*') ? said.startsWith(wanted.slice(0, -1)) : said === wanted
  })
  return isTaken ? undefined : `is ${said || 'of no type'}, expected ${types.join(' or ')}`
}

/** Why a file that says it is of `type` is none, by its first bytes; undefined: it may be one. */
export function problemOfContent(type: string, head: Buffer): string | undefined {
  const [at, ...signatures] = SIGNATURES[plain(type)] ?? [0]
  const begins = signatures.some((one) =>
    head.subarray(at, at + one.length).equals(Buffer.from(one, 'latin1')),
  )
  if (begins || signatures.length === 0) return undefined
  return `says it is ${plain(type)}, and does not begin as one`
}

/** Without parameters, as `; charset=utf-8`. */
function plain(type: string): string {
  const [said = ''] = type.split(';', 1)
  return said.trim().toLowerCase()
}
