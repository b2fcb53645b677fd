import Fastify from 'fastify'
import t from 'tap'
import { parseJson } from '../../src/http/parse-json.ts'
import { type Random, seeded } from '../helpers/random-schema.ts'
import { ask } from '../helpers/wire.ts'
import { assertAlive, listenWithThings } from './service.ts'

const problem = (text: string) => {
  try {
    parseJson(text)
    return undefined
  } catch (error) {
    return (error as Error).message.replace('The request cannot be read: the body ', '')
  }
}

t.test('a key that is there twice is refused, and named', async (t) => {
  for (const [text, key] of [
    ['{"a":1,"a":1}', 'a'],
    ['{"a" :1,"a":2}', 'a'],
    ['{ "a"\n:\t1, "b": { "c" : [ { "d": 1, "d": 2 } ] } }', 'd'],
    ['{"a":1,"\\u0061":2}', 'a'],
    ['{"":1,"":2}', ''],
    ['{"\\"":1,"\\"":2}', '"'],
    ['{"a":{"a":":","b":" :"},"a":" :"}', 'a'],
    // As many colons as keys, one of them in a string: they may not be taken for one another.
    ['{"a":1,"a" :1}', 'a'],
    ['[{"role":"user"},{"role":"user","role":"admin"}]', 'role'],
    [`{"${'k'.repeat(200)}":1,"${'k'.repeat(200)}":1}`, 'k'.repeat(100)],
  ] as const) {
    t.equal(problem(text), `has a key twice: ${key}`, text)
  }
  for (const text of [
    '{"a":1,"A":1}',
    '{"a":{"a":1},"b":{"a":1}}',
    '[{"a":1},{"a":1}]',
    '{"a":":","b":" :","c":"\\":"}',
    '{"a":"{\\"a\\":1,\\"a\\":2}"}',
    '{"a\\\\":1,"a":2}',
    '{"a" :1,"b"\r\n:"a: b :c"}',
  ]) {
    t.strictSame(parseJson(text), JSON.parse(text), text)
  }
})

t.test('depth has a bound that is far below what would break something', async (t) => {
  const nest = (open: string, close: string, depth: number) =>
    open.repeat(depth) + close.repeat(depth)
  t.equal(problem(nest('[', ']', 1000)), undefined)
  for (const text of [
    nest('[', ']', 1001),
    nest('[', ']', 500_000),
    `${nest('{"a":', '}', 500_000).replace(':}', ':1}')}`,
  ]) {
    t.equal(problem(text), 'is nested more than 1000 times')
  }
})

t.test('a mark of the byte order is left out, and nothing else is', async (t) => {
  t.strictSame(parseJson('\ufeff{"a":1}'), { a: 1 })
  t.equal(problem('\ufeff\ufeff{}'), 'is not valid JSON')
  t.equal(problem('{"a":1'), 'is not valid JSON')
  t.equal(parseJson('"\ufffd"'), '\ufffd')
})

t.test('over HTTP it is 400', async (t) => {
  const { port } = await listenWithThings(t)
  const json = { 'Content-Type': 'application/json' }
  const twice = await ask(port, 'POST /things', json, '{"name":"x","name":"y"}')
  t.match(
    [twice.status, twice.json()],
    [
      400,
      {
        code: 'BAD_REQUEST',
        message: 'The request cannot be read: the body has a key twice: name',
      },
    ],
  )
  const deep = await ask(port, 'POST /things', json, '['.repeat(100_000) + ']'.repeat(100_000))
  t.match([deep.status, deep.json().code], [400, 'BAD_REQUEST'])
  await assertAlive(t, port)
})

// What a text is made of, and how it is written: everything that may be told apart wrongly comes often.
const WORDS = [
  'a',
  'b',
  ':',
  ' :',
  '":',
  '\\',
  '{"a":1}',
  'é',
  '😀',
  '__proto__',
  'constructor',
  'prototype',
  '',
]
const ESCAPES = [
  '\\u0000',
  '\\ud800',
  '\\udc00',
  '\\ud83d\\ude00',
  '\\\\u0000',
  '\\u0061',
  '\\n',
  '\\"',
  '\\/',
]

t.test('of 20,000 texts it takes those, and as those, that the careful way does', async (t) => {
  const random = seeded(12)
  const careful = createCareful()
  const counts = { taken: 0, refused: 0 }
  for (let i = 0; i < 20_000; i++) {
    const text = randomText(random)
    const expected = careful(text)
    const got = outcome(() => parseJson(text))
    if (JSON.stringify(got) !== JSON.stringify(expected)) {
      t.strictSame(got, expected, text)
      return
    }
    counts[expected === 'refused' ? 'refused' : 'taken']++
  }
  // Both often enough to say something.
  t.ok(counts.taken > 4000 && counts.refused > 4000, JSON.stringify(counts))
})

/** Each rule by itself: Fastify's parser for prototypes, and a walk over the text, character by character. */
function createCareful(): (text: string) => unknown {
  const app = Fastify()
  const fastify = app.getDefaultJsonParser('error', 'error')
  return (text) =>
    outcome(() => {
      const { done, value } = taker()
      fastify(undefined as never, text, done)
      walk(text)
      return value()
    })
}

function taker() {
  let taken: unknown
  return {
    done: (error: Error | null, value?: unknown) => {
      if (error) throw error
      taken = value
    },
    value: () => taken,
  }
}

function outcome(parse: () => unknown): unknown {
  try {
    return { value: parse() }
  } catch {
    return 'refused'
  }
}

/** @throws where a key is there twice or a string cannot be kept; `text` is JSON. */
function walk(text: string): void {
  let at = 0
  const blank = () => {
    while (' \t\r\n'.includes(text[at] ?? 'x')) at++
  }
  const string = () => {
    const start = at++
    while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
    const read = JSON.parse(text.slice(start, ++at)) as string
    if (!read.isWellFormed() || read.includes('\0')) throw new Error('it cannot be kept')
    return read
  }
  const items = (close: string, item: () => void) => {
    at++
    blank()
    while (text[at] !== close) {
      item()
      blank()
      if (text[at] === ',') at++
      blank()
    }
    at++
  }
  const value = () => {
    blank()
    const keys = new Set<string>()
    if (text[at] === '"') string()
    else if (text[at] === '[') items(']', value)
    else if (text[at] === '{')
      items('}', () => {
        const key = string()
        if (keys.has(key)) throw new Error('it is there twice')
        keys.add(key)
        blank()
        at++
        value()
      })
    else while (/[\w.+-]/.test(text[at] ?? ' ')) at++
  }
  value()
}

function randomText(random: Random): string {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
  const blank = () => (random() < 0.2 ? pick([' ', '\n', '\t', '\r\n  ']) : '')
  const string = () => {
    if (random() < 0.06) return `"${pick(ESCAPES)}${pick(['', 'x', '\\\\'])}"`
    const word = JSON.stringify(pick(WORDS))
    // Each character may be written as an escape.
    return random() < 0.1 ? `"${Array.from(JSON.parse(word) as string, escaped).join('')}"` : word
  }
  const many = (make: () => string) =>
    Array.from({ length: Math.floor(random() * 4) }, make).join(`${blank()},${blank()}`)
  const value = (depth: number): string => {
    const kind = depth > 4 ? 1 : random()
    if (kind < 0.4)
      return `{${blank()}${many(() => `${string()}${blank()}:${blank()}${value(depth + 1)}`)}${blank()}}`
    if (kind < 0.6) return `[${blank()}${many(() => value(depth + 1))}${blank()}]`
    if (kind < 0.8) return string()
    return pick(['1', '-1.5e3', 'true', 'null'])
  }
  const text = `${blank()}${value(0)}${blank()}`
  if (random() < 0.9) return text
  const cut = Math.floor(random() * text.length)
  const replaced = pick(['', '"', '}', ':', ',', '\\'])
  // From UTF-8 comes no half of a pair.
  return `${text.slice(0, cut)}${replaced}${text.slice(cut + 1)}`.toWellFormed()
}

function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, i) => character.charCodeAt(i))
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
}
