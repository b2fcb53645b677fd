import * as Args from '@oclif/core/args'
import { errors } from '../../src/errors.ts'
import { BaseCommand } from '../_base.ts'
import { sharedCache } from '../_cache.ts'

export default class CacheGet extends BaseCommand {
  static override summary = 'Print what is cached under a key'
  static override examples = ['<%= config.bin %> cache get motd']
  static override args = { key: Args.string({ required: true, description: 'as of app.cache' }) }

  async run(): Promise<void> {
    const { args } = await this.parse(CacheGet)
    await this.withApp(async (app) => {
      const value = await sharedCache(app).get(args.key)
      if (value === undefined) throw errors.NOT_FOUND('fresh entry', args.key)
      this.log(JSON.stringify(value, null, 2))
    })
  }
}
