import t from 'tap'
import { type TSchema, Type } from 'typebox'
import { boundNumbers, closeSchema } from '../../src/schema/json-schema.ts'
import { compileExact, toDetails } from '../../src/schema/validate.ts'

/** The paths that `schema`, closed, does not know in `value`, or what else it refuses. */
function refused(schema: TSchema, value: unknown): string[] {
  const validate = compileExact(closeSchema(schema))
  if (validate(value)) return []
  return toDetails(validate.errors).map(({ path, message }) =>
    message === 'is not known here' ? path : `${path}: ${message}`,
  )
}

const A = Type.Object({ a: Type.Integer() })
const B = Type.Object({ b: Type.Integer() })

t.test('of objects, at any depth', async (t) => {
  const schema = Type.Object({ in: Type.Object({ deep: Type.Optional(A) }) })
  t.strictSame(refused(schema, { in: { deep: { a: 1 } } }), [])
  t.strictSame(refused(schema, { in: { deep: { a: 1, x: 1 }, y: 1 }, z: 1 }), [
    '/z',
    '/in/y',
    '/in/deep/x',
  ])
  t.strictSame(refused(Type.Object({}), { x: 1 }), ['/x'])
})

t.test('of lists and tuples', async (t) => {
  t.strictSame(refused(Type.Array(A), [{ a: 1 }, { a: 1, x: 1 }]), ['/1/x'])
  const pair = Type.Tuple([A, B])
  t.strictSame(refused(pair, [{ a: 1 }, { b: 1 }]), [])
  t.strictSame(
    refused(pair, [
      { a: 1, x: 1 },
      { b: 1, y: 1 },
    ]),
    ['/0/x', '/1/y'],
  )
})

t.test('of unions: each member for itself', async (t) => {
  const schema = Type.Union([A, B])
  t.strictSame(refused(schema, { a: 1 }), [])
  t.strictSame(refused(schema, { b: 1 }), [])
  t.ok(refused(schema, { a: 1, b: 1 }).length > 0)
  t.ok(refused(schema, { a: 1, x: 1 }).includes('/x'))
})

t.test('of intersections: all members together', async (t) => {
  const schema = Type.Intersect([A, Type.Intersect([B, Type.Object({ c: A })])])
  t.strictSame(refused(schema, { a: 1, b: 1, c: { a: 1 } }), [])
  t.strictSame(refused(schema, { a: 1, b: 1, c: { a: 1, x: 1 }, y: 1 }).sort(), ['/c/x', '/y'])
})

t.test('of unions in intersections', async (t) => {
  const schema = Type.Intersect([A, Type.Union([B, Type.Object({ c: Type.Integer() })])])
  t.strictSame(refused(schema, { a: 1, b: 1 }), [])
  t.strictSame(refused(schema, { a: 1, c: 1 }), [])
  t.strictSame(refused(schema, { a: 1, b: 1, x: 1 }), ['/x'])
  t.strictSame(refused(schema, { a: 1, b: 1, c: 'not an integer' }), ['/c'])
})

t.test('of records: names that do not fit the pattern', async (t) => {
  const any = Type.Record(Type.String(), A)
  t.strictSame(refused(any, { one: { a: 1 }, two: { a: 1, x: 1 } }), ['/two/x'])
  const some = Type.Record(Type.String({ pattern: '^[a-z]+$' }), Type.Integer())
  t.strictSame(refused(some, { one: 1, Two: 'x' }), ['/Two'])
})

t.test('of schemas that refer to themselves', async (t) => {
  const node = Type.Cyclic(
    {
      Node: Type.Object({ next: Type.Union([Type.Ref('Node'), Type.Null()]) }),
    },
    'Node',
  )
  t.strictSame(refused(node, { next: { next: null } }), [])
  t.ok(refused(node, { next: { next: null, x: 1 } }).includes('/next/x'))
})

t.test('what a schema says itself of other properties is kept', async (t) => {
  t.strictSame(refused(Type.Object({}, { additionalProperties: true }), { x: 1 }), [])
  const typed = Type.Object({}, { additionalProperties: A })
  t.strictSame(refused(typed, { x: { a: 1, y: 1 } }), ['/x/y'])
  const open = Type.Intersect([A, B], { unevaluatedProperties: true })
  t.strictSame(refused(open, { a: 1, b: 1, x: 1 }), [])
  const half = Type.Intersect([A, Type.Object({}, { additionalProperties: true })])
  t.strictSame(refused(half, { a: 1, x: 1 }), [])
})

t.test('the opposite of a schema is not opened by closing it', async (t) => {
  const schema = Type.Unsafe<object>({ type: 'object', not: { ...A } })
  t.strictSame(refused(schema, { a: 1, x: 1 }), [': must NOT be valid'])
})

t.test('closing and bounding leave the schema itself as it is', async (t) => {
  const schema = Type.Object({ a: A, list: Type.Array(B), n: Type.Number({ maximum: 5 }) })
  const before = JSON.stringify(schema)
  const bounded = boundNumbers(closeSchema(schema))
  t.equal(JSON.stringify(schema), before)
  t.match(bounded.properties?.n, { minimum: -Number.MAX_VALUE, maximum: 5 })
})
