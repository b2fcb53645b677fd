import t from 'tap'
import { canonicalKey } from '../../src/cache/key.ts'

t.test('equal values have the same key', async (t) => {
  const pairs: [unknown, unknown][] = [
    [
      { a: 1, b: { c: [1], d: 2 } },
      { b: { d: 2, c: [1] }, a: 1 },
    ],
    [{ a: 1, b: undefined }, { a: 1 }],
    [0, -0],
    [new Date(5), new Date(5)],
    [Number.NaN, Number.NaN],
    [Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
    [new URL('http://a/'), 'http://a/'],
  ]
  for (const [a, b] of pairs) t.equal(canonicalKey(a), canonicalKey(b))
})

t.test('different values have different keys', async (t) => {
  const values: unknown[] = [
    [1, 2],
    [2, 1],
    [[1], 2],
    [[1, 2]],
    [1, [2]],
    ['1', 2],
    '1,2',
    '[1,2]',
    1,
    '1',
    1n,
    '1n',
    true,
    'true',
    null,
    'null',
    undefined,
    'undefined',
    [],
    [null],
    [undefined],
    {},
    { a: 1 },
    { a: '1' },
    { a: null },
    { b: 1 },
    { a: { b: 1 } },
    { a: 1, b: 1 },
    { 'a:1,b': 1 },
    { 'a":1,"b': 1 },
    new Date(5),
    5,
    '@5',
    new Date(Number.NaN),
    Number.NaN,
    'NaN',
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    '',
    '\ud800',
    '\ud801',
    '\ufffd',
    '#',
    1e21,
    JSON.parse('{"__proto__":1}'),
    { constructor: 1 },
  ]
  for (const length of [199, 200, 201, 5000]) {
    values.push('x'.repeat(length), ['x'.repeat(length)], `${'x'.repeat(length)}\ud800`)
    values.push(`${'x'.repeat(length)}\ud801`)
  }
  const keys = values.map(canonicalKey)
  const twice = keys.filter((key, index) => keys.indexOf(key) !== index)
  t.strictSame(twice, [])
})

t.test('short ones can be read, long ones are bounded', async (t) => {
  t.equal(
    canonicalKey({ page: 1, name: 'Köln', tags: ['a'] }),
    '{"name":"Köln","page":1,"tags":["a"]}',
  )
  t.match(canonicalKey('x'.repeat(100_000)), /^#[\w-]{43}$/)
})

t.test('refuses what would be told apart from nothing', async (t) => {
  for (const value of [new Map(), new Set(), () => {}, Symbol('s'), [() => {}], new Error('e')]) {
    t.throws(() => canonicalKey({ a: value }), {
      name: 'TypeError',
      message: /part of a cache key/,
    })
  }
  const itself: unknown[] = []
  itself.push(itself)
  t.throws(() => canonicalKey(itself), { name: 'TypeError', message: /nested 500 times/ })
})
