import { createSigner } from 'fast-jwt'
import { Args, BaseCommand, Flags } from 'plinth/command'
import { AUDIENCE, TENANT } from '../src/users.ts'

export default class Jwt extends BaseCommand {
  static override summary = 'Sign a token for a user, by JWT_KEY'
  static override examples = [
    '<%= config.bin %> jwt ann',
    '<%= config.bin %> jwt ann --tenant south --admin --hours 1',
  ]
  static override args = { name: Args.string({ required: true }) }
  static override flags = {
    tenant: Flags.string({ description: 'whose reviews are seen', default: 'north' }),
    admin: Flags.boolean({ description: 'may delete cities, and sees all reviews' }),
    hours: Flags.integer({ description: 'how long it is good for', default: 12, min: 1 }),
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Jwt)
    const { tenant, admin, hours } = flags
    if (!TENANT.test(tenant)) throw new Error(`${tenant} is no tenant: write it as in ${TENANT}`)
    const key = await this.withApp(async ({ config }) => config.JWT_KEY)
    if (!key) throw new Error('JWT_KEY is not set, so no token would be good: README.md tells how')
    const sign = createSigner({ key, aud: AUDIENCE, expiresIn: hours * 3_600_000 })
    this.log(sign({ sub: args.name, tenant, ...(admin && { role: 'admin' }) }))
  }
}
