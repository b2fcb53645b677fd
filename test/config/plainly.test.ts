import t from 'tap'
import { Type } from 'typebox'
import { validator } from '../../src/config/ajv.ts'
import { plainly } from '../../src/config/plainly.ts'
import { kitOwners } from '../../src/kit.ts'

const TEXTS = [
  ...['', ' ', '0', '-0', '7', '007', '+7', '-7', '7.0', '7.5', '.5', '1e3', '0x10', ' 7', '65536'],
  ...['9007199254740993', '-9007199254740993', 'Infinity', 'NaN', 'true', 'false', 'True', 'null'],
  ...[
    'production',
    'info',
    'a',
    'ab',
    '😀',
    '😀😀',
    'loopback',
    '10.0.0.0/8',
    '10.0.0.0/33',
    '::1',
  ],
  ...[
    'localhost',
    'no host',
    'sqlite:x.db',
    'mysql://u:p@h/d',
    'http://h',
    'https://h.test/a',
    'a,b',
  ],
]

const others = Type.Object({
  SHORT: Type.String({ minLength: 2 }),
  RATE: Type.Number({ minimum: -7, maximum: 7.5 }),
  ABOVE: Type.Number({ exclusiveMinimum: 0 }),
  EVEN: Type.Integer({ multipleOf: 2 }),
  SITE: Type.String({ format: 'uri' }),
  ONE: Type.Literal('a'),
  NAMES: Type.Array(Type.String()),
  LETTER: Type.String({ pattern: '^.$' }),
})

t.test('what is judged at a look, a validator judges alike', async (t) => {
  let judged = 0
  for (const { schema } of [...kitOwners, { schema: others }]) {
    for (const [name, variable] of Object.entries(schema.properties)) {
      for (const text of TEXTS) {
        const value = plainly(variable, text)
        if (value === undefined) continue
        judged++
        const values = { [name]: text }
        const isRight = validator().validate(
          { type: 'object', properties: { [name]: variable } },
          values,
        )
        t.strictSame({ isRight, ...values }, { isRight: true, [name]: value })
      }
    }
  }
  t.ok(judged > 100)
})

t.test('what only a validator can tell is left to it', async (t) => {
  for (const name of ['ABOVE', 'EVEN', 'SITE', 'ONE', 'NAMES'] as const)
    t.strictSame(
      TEXTS.map((text) => plainly(others.properties[name], text)).filter(
        (one) => one !== undefined,
      ),
      [],
      name,
    )
})
