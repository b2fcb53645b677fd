import { join } from 'node:path'
import t, { type Test } from 'tap'
import Type from 'typebox'
import { parseDotenv, quoteValue } from '../../src/config/dotenv.ts'
import { readConfig } from '../../src/config/read.ts'
import { secret } from '../../src/config/secret.ts'
import { kitOwners } from '../../src/kit.ts'

const NAMES = ['A', 'B', 'C', 'D']
const SEED = Number(process.env.SEED ?? 11)

const isDeclared = (name: string) => NAMES.includes(name)

/** The values, or what is wrong. */
function parse(text: string) {
  const { variables, problems } = parseDotenv(text, isDeclared)
  if (problems.length > 0) return problems.map(({ line, message }) => `${line} ${message}`)
  return Object.fromEntries(Array.from(variables, ([name, { value }]) => [name, value]))
}

/** Whole numbers below `limit`, always the same ones (Park and Miller's generator). */
function numbers(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = (state * 48_271) % 2_147_483_647
    return state % limit
  }
}

t.test('a blank value takes nothing of the next line, whatever the whitespace', async (t) => {
  const blanks = ['', ' ', '\t', '  \t ', '\u00a0', '\u3000', '\ufeff', '""', "''", '``', ' "" ']
  for (const blank of blanks) {
    for (const end of ['\n', '\r\n', '\r']) {
      const text = `A=${blank}${end}B=b${end}${end}C="c"`
      t.strictSame(parse(text), { A: '', B: 'b', C: 'c' }, JSON.stringify(text))
    }
  }
  t.strictSame(parse('A=\n"x"\nB=b'), [
    '2 got no variable, expected NAME=value, export NAME=value or # comment',
  ])
})

t.test(
  'what other programs read differently, or with a loss, is refused by its line',
  async (t) => {
    const around = (quote: string, others: string) =>
      `got text behind the closing ${quote}, expected ${others} around all of the value`
    const hash = 'got a # in the value, expected quotes around it, or a space before a comment'
    const escaped = `got \\", expected ' or \` around the value: no quote can be escaped`
    const none = 'got no variable, expected NAME=value, export NAME=value or # comment'
    const cases: [text: string, ...problems: string[]][] = [
      [String.raw`A="x\"y"`, `1 A: ${escaped}`],
      ['A="x\\"\nB="y"', `1 A: ${escaped}`],
      ['B=1\nA="x"y', `2 A: ${around('"', "' or `")}`],
      ['A="x"#y', `1 A: ${around('"', "' or `")}`],
      ["A='it's'", `1 A: ${around("'", '" or `')}`],
      ['A=`x` `y`', `1 A: ${around('`', '" or \'')}`],
      ['A="x\ny"z\nB=1', `1 A: ${around('"', "' or `")}`],
      ['export\tA=x', `1 ${none}`],
      ['exported A=x', `1 ${none}`],
      ['A x=y', `1 ${none}`],
      ['"A"=x', `1 ${none}`],
      ['A', `1 ${none}`],
      ['A: x', `1 ${none}`],
      ['A: x=y', `1 ${none}`],
      ['=x', `1 ${none}`],
      ['A=x#y', `1 A: ${hash}`],
      ['A=#y', `1 A: ${hash}`],
      ['A="x\nUNKNOWN=1', '1 A: got no closing ", expected one at the end of the value'],
      [
        'A="-----BEGIN\nMIIB=Og#==\n-----END',
        '1 A: got no closing ", expected one at the end of the value',
        `2 ${hash}`,
        `3 ${none}`,
      ],
      ["A='", "1 A: got no closing ', expected one at the end of the value"],
      [
        'A="x\nB=y\n"',
        '1 A: got another variable before the closing ", expected it behind it',
        `3 ${none}`,
      ],
      ['A=x\vB=y', '1 A: got the character U+000B, expected none that cannot be seen'],
      ['# x\u2028A=y', '1 got the character U+2028, expected none that cannot be seen'],
      ['A="x\x1b[31m"', '1 A: got the character U+001B, expected none that cannot be seen'],
      ['A="x"y\nB=1#2\nC=3', `1 A: ${around('"', "' or `")}`, `2 B: ${hash}`],
    ]
    for (const [text, ...problems] of cases) t.strictSame(parse(text), problems)
  },
)

t.test('what all programs read alike is read', async (t) => {
  const key = '-----BEGIN KEY-----\nMIIBOg==\nAb=\n-----END KEY-----'
  const cases: [text: string, values: object][] = [
    [`A="${key}"\r\nB=b`, { A: key, B: 'b' }],
    [`A='{"a": "#1"}' # JSON\nB={"a":1}`, { A: '{"a": "#1"}', B: '{"a":1}' }],
    ['export A=a\nexport  B = "b"', { A: 'a', B: 'b' }],
    ['A=a # x\nB= # x\nC="c"\t# "x"', { A: 'a', B: '', C: 'c' }],
    [`A=it's "so"\nB=a=b==`, { A: `it's "so"`, B: 'a=b==' }],
    [String.raw`A='C:\new\'${'\n'}B=C:\new\ `, { A: 'C:\\new\\', B: 'C:\\new\\' }],
    ['A=1\nB=2\nA=\nB="3"', { A: '', B: '3' }],
    ['A=ünïcödé 東京 🗼', { A: 'ünïcödé 東京 🗼' }],
  ]
  for (const [text, values] of cases) t.strictSame(parse(text), values, JSON.stringify(text))
})

t.test('what is written between quotes is read again', async (t) => {
  const below = numbers(SEED)
  const pieces = [
    'a',
    ' ',
    '\t',
    '#',
    '=',
    '"',
    "'",
    '`',
    '\\',
    '\\n',
    '\n',
    'B=',
    'é',
    '🗼',
    '\\"',
  ]
  let written = 0
  for (let i = 0; i < 1000; i++) {
    const values = NAMES.map((name) => {
      const value = Array.from({ length: below(7) }, () => pieces[below(pieces.length)]).join('')
      return [name, quoteValue(value), value] as const
    }).filter(([, quoted]) => quoted !== undefined)
    written += values.length
    const text = values.map(([name, quoted]) => `${name}=${quoted}\n`).join('')
    const wanted = Object.fromEntries(values.map(([name, , value]) => [name, value]))
    t.strictSame(parse(text), wanted, JSON.stringify(text))
  }
  t.ok(written > 3000, `${written} of 4,000 can be written`)
})

t.test('no file gives a variable what belongs to another, or tells it', async (t) => {
  const below = numbers(SEED)
  const pick = (list: readonly string[]) => list[below(list.length)] as string
  const pieces = [' ', '\t', '\v', '\u2028', '\u00a0', '#', '"', "'", '`', '\\', '\\"', '', '', '']
  const heads = ['', '', ' ', 'export ', 'export\t', '# ', '\ufeff']
  const assigns = ['=', '=', ' = ', '= ', '=\t', ': ']
  let read = 0
  for (let i = 0; i < 20_000; i++) {
    const rows = Array.from({ length: 2 + below(5) }, () => {
      const name = pick(NAMES)
      const words = Array.from({ length: below(4) }, () => pick([...pieces, `word${name}`]))
      return `${pick(heads)}${name}${pick(assigns)}${words.join('')}`
    })
    const text = rows.map((row) => row + pick(['\n', '\r\n', '\r'])).join('')
    const found = parse(text)
    if (Array.isArray(found)) {
      if (/word/.test(found.join())) t.fail(`a value is told of ${JSON.stringify(text)}`)
      continue
    }
    read++
    for (const [name, value] of Object.entries(found)) {
      const foreign = value.replaceAll(`word${name}`, '').includes('word')
      if (foreign) t.fail(`${name} is ${JSON.stringify(value)} in ${JSON.stringify(text)}`)
    }
  }
  t.ok(read > 1000, `${read} of 20,000 are read`)
})

const owner = {
  owner: 'shop',
  schema: Type.Object({
    SEATS: Type.Optional(Type.Integer()),
    TOKEN: secret(Type.Optional(Type.String())),
  }),
}

function read(t: Test, content: string | Buffer) {
  const dotenv = join(t.testdir({ '.env': content }), '.env')
  return readConfig<Record<string, unknown>>([owner, ...kitOwners], { env: {}, dotenv }).values
}

t.test('the message about a bad value names its line, and no secret of the next', async (t) => {
  t.throws(() => read(t, 'X=1\nPORT="80\nREDIS_PASSWORD=hunter2\n"\n'), {
    message: /line 2: PORT: got another variable before the closing ", expected it behind it\n/,
  })
  const { message } = failure(() => read(t, '# x\nSEATS="1\nMYSECRET=hunter2"\nPORT= \nTOKEN=t'))
  t.equal(
    message,
    'The configuration is not valid:\n  SEATS: got a value that is not shown from line 2 of .env, expected an integer',
  )
  t.match(read(t, 'REDIS_PASSWORD= \nREDIS_HOST=x\nPORT=\t\nTOKEN=hunter2'), {
    REDIS_URL: 'redis://x:6379/0',
    PORT: 8000,
    TOKEN: 'hunter2',
  })
})

t.test('a file that is not UTF-8 is refused', async (t) => {
  const text = '# é\nTOKEN=hünter2\nSEATS=1\n'
  const utf16 = Buffer.from(text, 'utf16le')
  const files: [content: Buffer, problem: string][] = [
    [utf16, 'it is UTF-16, or no text'],
    [Buffer.concat([Buffer.from('\xff\xfe', 'latin1'), utf16]), 'it is UTF-16, or no text'],
    [Buffer.from('\ufeffTOKEN=é', 'utf16le').swap16(), 'it is UTF-16, or no text'],
    [Buffer.from('\xff\xfe', 'latin1'), 'it is UTF-16, or no text'],
    [Buffer.from('SEATS=1\0'), 'it is UTF-16, or no text'],
    [Buffer.from('TOKEN=hünter2', 'latin1'), 'line 1 is not UTF-8'],
    [Buffer.from('SEATS=1\r\n# \x80', 'latin1'), 'line 2 is not UTF-8'],
  ]
  for (const [content, problem] of files) {
    const { code, message } = failure(() => read(t, content))
    t.equal(code, 'CONFIG_INVALID')
    t.match(message, `.env: cannot be read (${problem}), expected a text file in UTF-8`)
    t.notMatch(message, 'nter2')
  }
  t.match(read(t, Buffer.from(`\ufeff${text}`)), { TOKEN: 'hünter2', SEATS: 1 })
})

function failure(fn: () => unknown): { code?: string; message: string } {
  try {
    fn()
  } catch (error) {
    return error as Error
  }
  return { message: 'it has not failed' }
}
