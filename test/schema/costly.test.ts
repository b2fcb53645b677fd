import t from 'tap'
import { type TSchema, Type } from 'typebox'
import { costOf } from '../../src/schema/backtracking.ts'
import { findCostly } from '../../src/schema/costly.ts'
import type { JsonSchema } from '../../src/schema/json-schema.ts'

const costly = (request: TSchema) => findCostly(request as JsonSchema)

// What recheck (https://makenowjust-labs.github.io/recheck) calls exponential, and what it does not.
const EXPONENTIAL = [
  '^(\\w+ ?)+$',
  '^(a|a)*$',
  '^(a*)*$',
  '^(a?b?)*$',
  '^(a(b?|c?)d)*$',
  '^(([a-z])+.)+[A-Z]([a-z])+$',
  '^(\\d{2}|\\d{3})*$',
  '^(a|b|ab)*$',
  '^(?:a+)+?$',
  '^((?:x|y)*z?)*$',
  '^(\\s*\\w+\\s*,?)+$',
  '^(a{2,3})+$',
  '^(?:😀|.)+$',
  '^(ж+)+$',
  '(x+x+)+y',
  '^(a{0,30}){0,30}$',
  '^(?=(a+)+b).*$',
]
const HARMLESS = [
  '^[a-z0-9]+(-[a-z0-9]+)*$',
  '^[A-Z]{2}$',
  '^\\p{L}+( \\p{L}+)*$',
  '^([^,]+,)*[^,]+$',
  '^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$',
  '^(a+){20}$',
  '^(\\d{2})*$',
  '^(ab+c)+$',
  '^(0|[1-9]\\d*)(\\.(0|[1-9]\\d*)){2}$',
  '^(?<y>\\d+)-(?<m>\\d+)\\k<y>$',
  '^("[^"]*"|[^",]*)(,("[^"]*"|[^",]*))*$',
  '^((a|b)c?)+$',
  '^(é|e)+$',
  '^(?!a+$)b+\\b$',
  '^[\\]\\u{1F600}\\x41\\u0042\\cA-]+(?:\\/[^\\]])*$',
  '',
]

t.test('patterns whose ways double with each character, and others', async (t) => {
  for (const pattern of EXPONENTIAL) t.equal(costOf(pattern).exponential, true, pattern)
  for (const pattern of HARMLESS) t.equal(costOf(pattern).exponential, false, pattern)
  t.throws(() => costOf('('), SyntaxError)
})

t.test('what is repeated without limit', async (t) => {
  for (const pattern of ['a+', '^a*$', '^a{2,}$', '(?=.*a)b']) t.ok(costOf(pattern).unlimited)
  for (const pattern of ['^[A-Z]{2}$', '^a{2,300}b?$', 'a|b', '\\+', '[+*]'])
    t.notOk(costOf(pattern).unlimited, pattern)
})

const twice = (pattern: string) =>
  `the pattern ${pattern} takes twice as long for each further character; write it so that each text can be read in one way only`
const anyLength = (pattern: string) =>
  `a text of any length is held against the pattern ${pattern}; give it maxLength`
const anyNumber = 'any number of items is compared (uniqueItems); give it maxItems'

t.test('what a client may make a validator work on for long, with its place', async (t) => {
  const word = Type.String({ pattern: '^\\w+$' })
  const words = Type.String({ pattern: '^(\\w+ ?)+$', maxLength: 50 })
  const found = costly(
    Type.Object({
      tags: Type.Array(word, { uniqueItems: true }),
      words: Type.Optional(Type.Union([words, Type.Null()])),
      pair: Type.Tuple([Type.Object({ word }), Type.String()]),
      table: Type.Record(Type.String({ pattern: '^(a|a)+$' }), word),
    }),
  )
  t.strictSame(found, [
    { path: '/tags', problem: anyNumber },
    { path: '/tags/*', problem: anyLength('^\\w+$') },
    { path: '/words', problem: twice('^(\\w+ ?)+$') },
    { path: '/pair/*/word', problem: anyLength('^\\w+$') },
    { path: '/table/*', problem: twice('^(a|a)+$') },
    { path: '/table/*', problem: anyLength('^\\w+$') },
  ])
  t.strictSame(costly(Type.Array(word, { maxItems: 3 })), [
    { path: '/*', problem: anyLength('^\\w+$') },
  ])
})

t.test('what is bounded is not named', async (t) => {
  const slug = Type.String({ pattern: '^[a-z]+(-[a-z]+)*$', maxLength: 100 })
  const code = Type.String({ pattern: '^[A-Z]{2}$' })
  const both = Type.Intersect([Type.String({ pattern: '^\\w+$' }), Type.String({ maxLength: 9 })])
  const request = Type.Object({
    slug,
    code,
    both,
    tags: Type.Array(Type.String(), { uniqueItems: true, maxItems: 10 }),
    all: Type.Array(Type.String()),
    mail: Type.String({ format: 'email' }),
  })
  t.strictSame(costly(request), [])
})
