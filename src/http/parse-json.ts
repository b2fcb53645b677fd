import { errors } from '../errors.ts'

/** How deep lists and objects of a body may be nested; the deepest that this process could write again is not far off. */
const MAX_DEPTH = 1000

/**
 * Parses JSON, and refuses what its readers could take for different things (a key that an object has twice: RFC 8259, 4),
 * what no database can keep (NUL, half a surrogate pair), what reaches for a prototype (`__proto__`,
 * `constructor.prototype`), and what is nested more than a thousand times.
 *
 * Most texts are none of that, and are known to be by counting; the others are gone through once more.
 *
 * @throws {PlinthError} BAD_REQUEST
 */
export function parseJson(text: string): unknown {
  // A mark of the byte order says nothing in UTF-8, and may stand there (RFC 8259, 8.1).
  const json = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
  const value = parse(json)
  if (typeof value === 'object' && value !== null) {
    // Every key of the text is counted, and some colons in strings: where there are no more, no key is lost.
    if (countKeys(value, 0) !== countColons(json)) assertNoKeyTwice(json)
  }
  if (json.includes('\\u') && UNSTORABLE.test(json)) assertStorable(json)
  return value
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    // Its words quote the body, which may have secrets.
    throw errors.BAD_REQUEST('the body is not valid JSON')
  }
}

/** The keys of all objects in `value`. */
function countKeys(value: object, depth: number): number {
  if (depth === MAX_DEPTH)
    throw errors.BAD_REQUEST(`the body is nested more than ${MAX_DEPTH} times`)
  let keys = 0
  if (Array.isArray(value)) {
    for (const item of value) {
      if (typeof item === 'object' && item !== null) keys += countKeys(item, depth + 1)
    }
    return keys
  }
  for (const key in value) {
    keys++
    const item: unknown = value[key as never]
    if (key === '__proto__' || (key === 'constructor' && hasPrototype(item)))
      throw errors.BAD_REQUEST(`the body has a key that reaches for a prototype: ${key}`)
    if (typeof item === 'object' && item !== null) keys += countKeys(item, depth + 1)
  }
  return keys
}

function hasPrototype(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype')
}

/** The colons after a quote or white space: every one that follows a key, and those of strings that look like it. */
function countColons(json: string): number {
  let colons = 0
  for (let at = json.indexOf(':'); at !== -1; at = json.indexOf(':', at + 1)) {
    const before = json.charCodeAt(at - 1)
    if (before === QUOTE || before <= SPACE) colons++
  }
  return colons
}

const [QUOTE, BACKSLASH, COLON, OPEN, CLOSE, SPACE] = [0x22, 0x5c, 0x3a, 0x7b, 0x7d, 0x20]

/** Goes through the text itself: of a key that is there twice the value has only the last. */
function assertNoKeyTwice(json: string): void {
  const open: Set<string>[] = []
  let last = ''
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at)
    if (code === QUOTE) {
      const end = endOfString(json, at)
      last = json.slice(at, end + 1)
      at = end
    } else if (code === OPEN) open.push(new Set())
    else if (code === CLOSE) open.pop()
    else if (code === COLON) addKey(open.at(-1) as Set<string>, last)
  }
}

function endOfString(json: string, start: number): number {
  let end = json.indexOf('"', start + 1)
  while (isEscaped(json, end)) end = json.indexOf('"', end + 1)
  return end
}

function isEscaped(json: string, at: number): boolean {
  let first = at
  while (json.charCodeAt(first - 1) === BACKSLASH) first--
  return (at - first) % 2 === 1
}

/** @param quoted as it stands in the text */
function addKey(keys: Set<string>, quoted: string): void {
  const key = quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1)
  if (keys.has(key)) throw errors.BAD_REQUEST(`the body has a key twice: ${key.slice(0, 100)}`)
  keys.add(key)
}

/** An escape of NUL or of half a surrogate pair, or an escaped backslash before what looks like one. */
const UNSTORABLE = /\\u(?:0000|[dD][89a-fA-F])/

function assertStorable(json: string): void {
  // An escaped backslash first, so that the text `\\u0000` (a backslash, then u0000) is no escape.
  const unescaped = json.replace(/\\(?:\\|u([\da-fA-F]{4}))/g, (_, hex?: string) =>
    hex ? String.fromCharCode(Number.parseInt(hex, 16)) : '',
  )
  if (unescaped.includes('\0') || !unescaped.isWellFormed())
    throw errors.BAD_REQUEST('the body has a NUL character or half a surrogate pair')
}
