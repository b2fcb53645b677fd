import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { errors } from '../../errors.ts'

/** An object of the document, of which nothing is known. */
export type Json = Record<string, unknown>

/** An OpenAPI document that has been read. */
export interface OpenApiDocument {
  /** As errors call it: a path, or an address without what follows its path. */
  readonly source: string
  /** Where it was loaded from; `undefined`: a file. */
  readonly url: URL | undefined
  readonly root: Json
  /** Whether its schemas are those of OpenAPI 3.0, which has keywords of its own. */
  readonly isOld: boolean
  /** Changes with its content, whatever its form: `3f9c…`. */
  readonly digest: string
}

/** Milliseconds that a document may take to come, and how large it may be. */
const TIMEOUT = 60_000
const MAX_BYTES = 128 * 1024 * 1024

/**
 * Reads an OpenAPI document of version 3.0 or 3.1, JSON or YAML.
 *
 * @param place a file, or an address that begins with `http://` or `https://`
 * @throws {PlinthError} OPENAPI_INVALID
 */
export async function readDocument(place: string): Promise<OpenApiDocument> {
  const url = /^https?:\/\//i.test(place) && URL.canParse(place) ? new URL(place) : undefined
  // What follows the path may have a token, and so may what stands before the host.
  const source = url ? `${url.protocol}//${url.host}${url.pathname}` : place
  const fail = (problem: string, cause?: unknown) =>
    errors.OPENAPI_INVALID.with({ cause }, source, problem)
  let text: string
  try {
    text = url ? await download(url) : await readFile(place, 'utf8')
  } catch (cause) {
    throw fail(`it cannot be read: ${reasonOf(cause)}`, cause)
  }
  const root = await parse(text, fail)
  return { source, url, root, isOld: assertVersion(root, fail), digest: digestOf(root, fail) }
}

type Fail = (problem: string, cause?: unknown) => Error

async function download(url: URL): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT) })
  if (!response.ok) throw new Error(`the server answered ${response.status}`)
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > MAX_BYTES) throw new Error(`it has more than ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  return new TextDecoder().decode(Buffer.concat(chunks))
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error
  return cause instanceof Error ? `${message}: ${cause.message}` : message
}

async function parse(text: string, fail: Fail): Promise<Json> {
  const value = /^\s*\{/.test(text) ? parseJson(text, fail) : await parseYaml(text, fail)
  if (!isJson(value)) throw fail('it is no object')
  return value
}

function parseJson(text: string, fail: Fail): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw fail(`it is no JSON: ${reasonOf(cause)}`, cause)
  }
}

async function parseYaml(text: string, fail: Fail): Promise<unknown> {
  const yaml = await import('yaml').catch((cause) => {
    throw fail(
      'it is not JSON, and for YAML the package yaml is needed: npm install --save-dev yaml',
      cause,
    )
  })
  try {
    // Nobody is warned of what the document does not use: its errors are told.
    return yaml.parse(text, { logLevel: 'error' })
  } catch (cause) {
    throw fail(`it is neither JSON nor YAML: ${reasonOf(cause)}`, cause)
  }
}

/** Whether it is of version 3.0. */
function assertVersion({ openapi, swagger }: Json, fail: Fail): boolean {
  if (swagger !== undefined)
    throw fail(
      `it is Swagger ${swagger}, expected OpenAPI 3.0 or 3.1; convert it first: npx swagger2openapi FILE --outfile openapi.json`,
    )
  const version = /^3\.([01])(?:\.|$)/.exec(String(openapi))
  if (version) return version[1] === '0'
  const found = openapi === undefined ? 'it says no version' : `its version is ${String(openapi)}`
  throw fail(`${found}, expected openapi: 3.0 or 3.1`)
}

function digestOf(root: Json, fail: Fail): string {
  try {
    return createHash('sha256').update(JSON.stringify(root)).digest('hex').slice(0, 16)
  } catch (cause) {
    throw fail('it contains itself, or is nested too deeply', cause)
  }
}

export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An operation, or a part of one, that nothing can be written for: the reason is told, the rest is written. */
export class LeftOut extends Error {}

/**
 * What `value` is, or refers to.
 *
 * @throws {LeftOut} where that is not there
 * @throws {PlinthError} OPENAPI_INVALID where it is in another document
 */
export function resolve(document: OpenApiDocument, value: unknown): Json {
  const seen = new Set<string>()
  let found = value
  while (isJson(found) && typeof found.$ref === 'string') {
    const { $ref } = found
    if (seen.has($ref)) throw new LeftOut(`${$ref} refers to itself`)
    seen.add($ref)
    found = follow(document, $ref)
  }
  if (!isJson(found)) throw new LeftOut(`something in it is ${typeof found}, expected an object`)
  return found
}

/** What a reference names. @throws as {@link resolve} */
export function follow({ root, source }: OpenApiDocument, reference: string): unknown {
  if (!reference.startsWith('#'))
    throw errors.OPENAPI_INVALID(
      source,
      `it refers to another document, ${reference}; make one of them first: npx @redocly/cli bundle FILE --output openapi.json`,
    )
  let found: unknown = root
  for (const token of tokensOf(reference)) {
    const known = typeof found === 'object' && found !== null && Object.hasOwn(found, token)
    if (!known) throw new LeftOut(`${reference} is not in the document`)
    found = (found as Json)[token]
  }
  return found
}

/** The parts of a JSON pointer (RFC 6901) as a fragment. @throws {LeftOut} */
export function tokensOf(reference: string): string[] {
  const pointer = reference.slice(1)
  if (pointer === '') return []
  if (!pointer.startsWith('/'))
    throw new LeftOut(`${reference} is an anchor, which is not followed`)
  return pointer
    .slice(1)
    .split('/')
    .map((token) => decode(token).replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** As it is, where it is not encoded as it should be. */
function decode(token: string): string {
  try {
    return decodeURIComponent(token)
  } catch {
    return token
  }
}
