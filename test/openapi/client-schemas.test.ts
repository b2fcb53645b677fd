import t from 'tap'
import { LeftOut, type OpenApiDocument } from '../../src/openapi/client/document.ts'
import { camelCase, Names, pascalCase } from '../../src/openapi/client/names.ts'
import { Schemas } from '../../src/openapi/client/schemas.ts'
import { commentOf, inText, typeOf } from '../../src/openapi/client/typescript.ts'

/** Reads schemas as those of a document of OpenAPI 3.0 or 3.1. */
function read(isOld: boolean, schemas: Record<string, unknown> = {}) {
  const root = { components: { schemas } }
  const document: OpenApiDocument = { source: 'x', url: undefined, root, isOld, digest: '' }
  return new Schemas(document, new Names())
}

type Case = [schema: unknown, type: string, json: unknown]

const BOTH: Case[] = [
  [{}, 'unknown', {}],
  [{ type: 'string', format: 'int99' }, 'string', { type: 'string' }],
  [{ type: 'string', format: 'uuid' }, 'string', { type: 'string', format: 'uuid' }],
  [{ type: 'integer', multipleOf: 5 }, 'number', { type: 'integer', multipleOf: 5 }],
  [{ type: 'number', multipleOf: 0.1 }, 'number', { type: 'number' }],
  [{ enum: ['a', 1, null] }, '"a" | 1 | null', { enum: ['a', 1, null] }],
  [{ enum: [{ a: 1 }] }, 'unknown', { enum: [{ a: 1 }] }],
  [{ type: 'array' }, 'unknown[]', { type: 'array' }],
  [
    { items: { enum: ['a', 'b'] } },
    '("a" | "b")[]',
    { type: 'array', items: { enum: ['a', 'b'] } },
  ],
  [{ type: 'object' }, '{ [key: string]: unknown }', { type: 'object' }],
  [
    { additionalProperties: { type: 'number' }, type: 'object' },
    '{ [key: string]: number }',
    { type: 'object', additionalProperties: { type: 'number' } },
  ],
  [
    { properties: { 'a-b': { type: 'string' } }, additionalProperties: { type: 'number' } },
    '{\n  "a-b"?: string\n  [key: string]: unknown\n}',
    {
      type: 'object',
      properties: { 'a-b': { type: 'string' } },
      additionalProperties: { type: 'number' },
    },
  ],
  [
    { properties: { a: {} }, additionalProperties: false, required: ['a', 'b'] },
    '{\n  a: unknown\n  b: unknown\n}',
    { type: 'object', properties: { a: {}, b: {} }, required: ['a', 'b'] },
  ],
  [
    { properties: { a: { readOnly: true }, b: { writeOnly: true } }, required: ['a', 'b'] },
    '{\n  a?: unknown\n  b?: unknown\n}',
    { type: 'object', properties: { a: {}, b: {} } },
  ],
  [
    { oneOf: [{ type: 'string' }, { type: 'number' }], description: 'x' },
    'string | number',
    { anyOf: [{ type: 'string' }, { type: 'number' }], description: 'x' },
  ],
  [{ allOf: [{ type: 'string' }] }, 'string', { type: 'string' }],
  // To want one of two is no type of its own.
  [
    { properties: { a: {}, b: {} }, anyOf: [{ required: ['a'] }, { required: ['b'] }] },
    '{\n  a?: unknown\n  b?: unknown\n}',
    {
      allOf: [
        { type: 'object', properties: { a: {}, b: {} } },
        { anyOf: [{ required: ['a'] }, { required: ['b'] }] },
      ],
    },
  ],
]

const OLD: Case[] = [
  [
    { type: 'string', nullable: true },
    'string | null',
    { anyOf: [{ type: 'string' }, { type: 'null' }] },
  ],
  [
    { type: 'string', nullable: true, enum: ['a', null] },
    '"a" | null',
    { anyOf: [{ type: 'string', enum: ['a'] }, { type: 'null' }] },
  ],
  [
    { type: 'number', minimum: 1, exclusiveMinimum: true },
    'number',
    { type: 'number', exclusiveMinimum: 1 },
  ],
  [{ $ref: '#/components/schemas/A', description: 'x' }, 'A', { $ref: '#/$defs/A' }],
  [
    { $ref: '#/components/schemas/A', nullable: true },
    'A | null',
    { anyOf: [{ $ref: '#/$defs/A' }, { type: 'null' }] },
  ],
]

const NEW: Case[] = [
  [true, 'unknown', {}],
  [
    { type: ['string', 'integer', 'null'] },
    'string | number | null',
    { anyOf: [{ anyOf: [{ type: 'string' }, { type: 'integer' }] }, { type: 'null' }] },
  ],
  [{ type: 'null' }, 'null', { type: 'null' }],
  [{ const: 'a' }, '"a"', { const: 'a' }],
  [{ type: 'number', exclusiveMaximum: 3 }, 'number', { type: 'number', exclusiveMaximum: 3 }],
  [
    { prefixItems: [{ type: 'string' }], items: { type: 'number' } },
    '[(string)?, ...(number)[]]',
    { type: 'array', items: [{ type: 'string' }], additionalItems: { type: 'number' } },
  ],
  [
    { $ref: '#/components/schemas/A', description: 'x' },
    'A',
    { description: 'x', $ref: '#/$defs/A' },
  ],
  [
    { $ref: '#/components/schemas/A', properties: { b: { type: 'string' } } },
    'A & {\n  b?: string\n}',
    { allOf: [{ $ref: '#/$defs/A' }, { type: 'object', properties: { b: { type: 'string' } } }] },
  ],
]

t.test('schemas become types and JSON of one form', async (t) => {
  const A = { type: 'object', properties: {} }
  for (const [isOld, cases] of [
    [true, [...BOTH, ...OLD]],
    [false, [...BOTH, ...NEW]],
  ] as const) {
    for (const [schema, type, json] of cases) {
      const found = read(isOld, { A }).read(schema)
      t.strictSame(found, json, JSON.stringify(schema))
      t.equal(typeOf(found), type)
    }
  }
})

t.test('what cannot be written is told', async (t) => {
  const schemas = read(false, {
    Loop: { allOf: [{ $ref: '#/components/schemas/Back' }] },
    Back: { $ref: '#/components/schemas/Loop' },
    Broken: { properties: { a: { $ref: '#/components/schemas/Nobody' } } },
    Holder: { items: { $ref: '#/components/schemas/Broken' } },
    Tree: { properties: { children: { items: { $ref: '#/components/schemas/Tree' } } } },
  })
  const cases: [unknown, string][] = [
    [{ $ref: '#/components/schemas/Loop' }, 'the schema Loop refers to itself for ever'],
    [
      { items: { $ref: '#/components/schemas/Holder' } },
      '#/components/schemas/Nobody is not in the document',
    ],
    [{ $dynamicRef: '#x' }, 'a schema has $dynamicRef, which is not followed'],
    [{ $ref: '#anchor' }, '#anchor is an anchor, which is not followed'],
    [{ type: 'file' }, 'a schema has the type "file"'],
    [{ anyOf: {} }, 'the anyOf of a schema is no list'],
    [{ properties: [] }, 'the properties of a schema are no object'],
    [{ items: 'string' }, 'a schema is string, expected an object'],
  ]
  for (const [schema, message] of cases) t.throws(() => schemas.read(schema), new LeftOut(message))
  t.strictSame(schemas.read({ $ref: '#/components/schemas/Tree' }), { $ref: '#/$defs/Tree' })
})

t.test('a place is one schema, however it is spelled', async (t) => {
  const schemas = read(false, { 'a/b ~c': { type: 'string' }, 'A b c': { type: 'number' } })
  const first = schemas.read({ $ref: '#/components/schemas/a~1b%20~0c' })
  t.strictSame(schemas.read({ $ref: '#/components/schemas/a~1b ~0c' }), first)
  t.strictSame(schemas.read({ $ref: '#/components/schemas/A%20b c' }), { $ref: '#/$defs/ABC' })
  t.strictSame(first, { $ref: '#/$defs/ABC2' })
})

t.test('names are identifiers', async (t) => {
  t.strictSame(
    ['users/get-by-id', 'GET /a/{b_c}', '2fa', '名前', '--', 'ÄÖ ü', 'a\nb*/c', '__proto__'].map(
      camelCase,
    ),
    ['usersGetById', 'gETABC', 'n2fa', '名前', 'unnamed', 'äÖÜ', 'aBC', 'proto'],
  )
  t.equal(pascalCase('io.k8s.api.core.v1.Pod'), 'IoK8sApiCoreV1Pod')
})

t.test('texts of a document stay texts', async (t) => {
  t.strictSame(commentOf({ description: 'a */ b\u2028c\r\n\n\nsecond paragraph' }), [
    '/**',
    ' * a *\\/ b',
    ' * c',
    ' */',
  ])
  t.strictSame(commentOf({ description: '**/ \u202ereversed\u0000 **//' }), [
    '/** **\\/  reversed  **\\// */',
  ])
  t.strictSame(commentOf({ default: '*/', deprecated: true }), [
    '/**',
    ' * Default: "*\\/"',
    ' * @deprecated',
    ' */',
  ])
  for (const text of ["a'b", 'a\\', `\`$${'{x}'}\``, 'a\n"b"', "\u2028'"])
    t.equal(new Function(`return ${inText(text)}`)(), text)
})
