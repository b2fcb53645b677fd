import { join } from 'node:path'
import t, { type Test } from 'tap'
import Type from 'typebox'
import { readConfig } from '../../src/config/read.ts'

const schema = Type.Object({
  A: Type.Optional(Type.String()),
  B: Type.Optional(Type.String()),
})

function read(dotenv: string) {
  return { ...readConfig<object>([{ owner: 'x', schema }], { env: {}, dotenv }).values }
}

function fromFile(t: Test, text: string) {
  return read(join(t.testdir({ file: text }), 'file'))
}

t.test('a .env that is not there is fine', async (t) => {
  t.strictSame(read(join(t.testdir({}), '.env')), {})
})

t.test('a .env that cannot be read is an error that names it', async (t) => {
  const folder = t.testdir({ '.env': {}, file: '' })
  t.throws(() => read(join(folder, '.env')), {
    code: 'CONFIG_INVALID',
    message: `The configuration is not valid:\n  ${join(folder, '.env')}: cannot be read (it is a folder), expected a text file, or none`,
    cause: { code: 'EISDIR' },
  })
  t.throws(() => read(join(folder, 'file/.env')), { message: 'cannot be read (ENOTDIR)' })
})

t.test('the lines of a .env are read as documented', async (t) => {
  const files: [text: string, values: object][] = [
    ['A=1\nB=2', { A: '1', B: '2' }],
    ['\uFEFFA=1\r\nB=2\r\n', { A: '1', B: '2' }],
    ['export A=1\n  B = 2  ', { A: '1', B: '2' }],
    ['A="x\ny"\nB=`"\'`', { A: 'x\ny', B: '"\'' }],
    [String.raw`A="x\ny"${'\n'}B='x\ny'`, { A: 'x\ny', B: String.raw`x\ny` }],
    ['A=a #b\nB="a#b" # c', { A: 'a', B: 'a#b' }],
    ['A=$B\nB=1', { A: '$B', B: '1' }],
    ['A=1\nA=2', { A: '2' }],
    ['# A=1\nB=2', { B: '2' }],
    ['A= \nB=2', { A: '', B: '2' }],
    ['A=\nOTHER=1', { A: '' }],
    ['__proto__=1\nconstructor=2', {}],
    ['', {}],
  ]
  for (const [text, values] of files) t.strictSame(fromFile(t, text), values, JSON.stringify(text))
})
