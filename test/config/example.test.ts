import { parseEnv } from 'node:util'
import t from 'tap'
import Type from 'typebox'
import { renderExample, renderTable } from '../../src/config/example.ts'
import { readConfig } from '../../src/config/read.ts'
import { kitOwner, secret } from '../../src/config/schema.ts'

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
  const open = renderExample([kitOwner]).replaceAll(/^# ([A-Z_]+=.)/gm, '$1')
  const env = parseEnv(open)
  t.ok(Object.keys(env).length > 5)
  const read = (env: NodeJS.ProcessEnv) => ({
    ...readConfig<object>([kitOwner], { env, dotenv: false }).values,
  })
  t.strictSame(read(env), read({}))
  t.equal(
    parseEnv(renderExample([shop]).replaceAll('# GREETING', 'GREETING')).GREETING,
    `it's "5 | #1"`,
  )
})

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
