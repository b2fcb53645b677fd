import t from 'tap'
import Type, { type TObject } from 'typebox'
import { type ConfigOwner, readConfig } from '../../src/config/read.ts'
import { kitOwners } from '../../src/kit.ts'

const owner = (name: string, schema: TObject): ConfigOwner => ({ owner: name, schema })

t.test(
  'two owners that declare a name differently are both named, for each such name',
  async (t) => {
    const owners = [
      ...kitOwners,
      owner('shop', Type.Object({ PORT: Type.Integer(), KEY: Type.String() })),
      owner('mail', Type.Object({ KEY: Type.String({ minLength: 8 }) })),
    ]
    t.throws(() => readConfig(owners, { env: {}, dotenv: false }), {
      code: 'CONFIG_INVALID',
      message: [
        'The configuration is not valid:',
        '  PORT: declared differently by config and by shop; rename one, or make them equal',
        '  KEY: declared differently by shop and by mail; rename one, or make them equal',
      ].join('\n'),
    })
  },
)

t.test(
  'equal declarations are one variable of the first owner, required if any says so',
  async (t) => {
    const owners = [
      owner('shop', Type.Object({ KEY: Type.Optional(Type.String()) })),
      owner('mail', Type.Object({ KEY: Type.String() })),
    ]
    const { variables } = readConfig(owners, { env: { KEY: 'k' }, dotenv: false })
    t.strictSame(
      variables.map(({ name, owner, value }) => ({ name, owner, value })),
      [{ name: 'KEY', owner: 'shop', value: 'k' }],
    )
    t.throws(() => readConfig(owners, { env: {}, dotenv: false }), { errors: [{ path: '/KEY' }] })
  },
)

t.test("an owner without the kit has nothing derived, whatever its variables' names", async (t) => {
  const schema = Type.Object({
    HOST: Type.String({ default: 'here' }),
    MYSQL_HOST: Type.String(),
    DATABASE_URL: Type.Optional(Type.String()),
  })
  const { values } = readConfig<object>([owner('shop', schema)], {
    env: { MYSQL_HOST: 'db' },
    dotenv: false,
  })
  t.strictSame({ ...values }, { HOST: 'here', MYSQL_HOST: 'db' })
})
