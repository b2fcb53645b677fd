import t from 'tap'
import Type, { type TSchema } from 'typebox'
import { describeExpected } from '../../src/config/expected.ts'

t.test('what is expected is told in words', async (t) => {
  const described: [TSchema, string][] = [
    [Type.Integer(), 'an integer'],
    [Type.Integer({ minimum: 1, maximum: 65_535 }), 'an integer from 1 to 65535'],
    [Type.Integer({ minimum: 0 }), 'an integer of at least 0'],
    [
      Type.Integer({ maximum: -1, multipleOf: 5 }),
      'an integer of at most -1 that is a multiple of 5',
    ],
    [Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1 }), 'a number above 0 below 1'],
    [Type.Boolean(), 'true or false'],
    [Type.String(), 'text'],
    [Type.String({ minLength: 1 }), 'text'],
    [Type.String({ minLength: 8 }), 'text of at least 8 characters'],
    [Type.String({ maxLength: 8 }), 'text of 0 to 8 characters'],
    [Type.String({ pattern: '^a' }), 'text that matches ^a'],
    [Type.String({ format: 'uri' }), 'a URL'],
    [
      Type.String({ format: 'email', maxLength: 50 }),
      'text in the format email of 0 to 50 characters',
    ],
    [Type.Enum(['a', 'b', 'c']), 'a, b or c'],
    [Type.Literal('a'), 'a'],
    [Type.Union([Type.Literal('a'), Type.Literal('b')]), 'a or b'],
    [Type.Union([Type.Integer(), Type.Literal('auto')]), 'an integer or auto'],
    [Type.String({ pattern: '^a', expected: 'something with a' }), 'something with a'],
    [Type.Null(), 'a value of type null'],
    [Type.Any(), 'a value'],
  ]
  for (const [schema, words] of described) t.equal(describeExpected(schema), words)
})
