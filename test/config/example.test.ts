import t from 'tap'
import Type from 'typebox'
import { parseDotenv } from '../../src/config/dotenv.ts'
import { renderExample, renderTable } from '../../src/config/example.ts'
import { readConfig } from '../../src/config/read.ts'
import { secret } from '../../src/config/secret.ts'
import { kitOwners } from '../../src/kit.ts'

/** The values of a .env file. */
function parse(text: string): Record<string, string> {
  const { variables, problems } = parseDotenv(text, () => true)
  if (problems.length > 0) throw new Error(JSON.stringify(problems))
  return Object.fromEntries(Array.from(variables, ([name, { value }]) => [name, value]))
}

const shop = {
  owner: 'shop',
  schema: Type.Object({
    SITE: Type.String({ description: 'Its address.', format: 'uri' }),
    KEY: secret(Type.String({ default: 'k' })),
    TOKEN: secret(Type.String()),
    GREETING: Type.String({ default: `it's "5 | #1"` }),
    SEATS: Type.Optional(Type.Integer()),
  }),
}

t.test('.env.example leaves open what must be set and shows the rest as comments', async (t) => {
  t.equal(
    renderExample([shop]),
    `# Copy this file to .env and set what you need.
# The environment wins over .env; what is commented out here shows the default.

# shop ------------------------------------------------------------------------

# Its address.
# Expected: a URL. Required.
SITE=

# Expected: text. Default: not shown.
# KEY=

# Expected: text. Required.
TOKEN=

# Expected: text. Default: it's "5 | #1".
# GREETING=\`it's "5 | #1"\`

# Expected: an integer. Default: none.
# SEATS=
`,
  )
})

t.test('.env.example with every line open says the same as no file at all', async (t) => {
  const open = renderExample(kitOwners).replaceAll(/^# ([A-Z_]+=.)/gm, '$1')
  const env = parse(open)
  t.ok(Object.keys(env).length > 5)
  const read = (env: NodeJS.ProcessEnv) => ({
    ...readConfig<object>(kitOwners, { env, dotenv: false }).values,
  })
  t.strictSame(read(env), read({}))
  t.equal(
    parse(renderExample([shop]).replaceAll('# GREETING', 'GREETING')).GREETING,
    `it's "5 | #1"`,
  )
})

t.test(
  'texts of several lines stay comments; what no quotes can hold is left to the reader',
  async (t) => {
    const schema = Type.Object({
      KEY: Type.String({ description: 'One.\nTwo.', default: '-\n-' }),
      ALL: Type.String({ default: `"'\`` }),
      PATH: Type.String({ default: 'C:\\new folder\\' }),
    })
    const text = renderExample([{ owner: 'shop', schema }])
    t.strictSame(parse(text), {})
    t.strictSame(parse(text.replaceAll(/^# (?=[A-Z]+=)/gm, '')), {
      KEY: '-\n-',
      ALL: '',
      PATH: 'C:\\new folder\\',
    })
  },
)

t.test('the table has a row for each variable', async (t) => {
  t.equal(
    renderTable([shop]),
    `| Variable | What it is | Expected | Default |
| --- | --- | --- | --- |
| \`SITE\` | Its address. | a URL | required |
| \`KEY\` | Secret. | text | not shown |
| \`TOKEN\` | Secret. | text | required |
| \`GREETING\` |  | text | it's "5 \\| #1" |
| \`SEATS\` |  | an integer | none |
`,
  )
})
