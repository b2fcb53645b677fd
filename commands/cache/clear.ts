import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import { BaseCommand } from '../_base.ts'
import { assertTold, sharedCache } from '../_cache.ts'

const LOSS = 'without its cache every result is computed anew'

export default class CacheClear extends BaseCommand {
  static override summary = 'Take away what is cached'
  static override description =
    'In Redis, step by step, and in the memory of every process. Nothing else of the Redis is touched.'
  static override examples = [
    '<%= config.bin %> cache clear',
    '<%= config.bin %> cache clear cities.retrieve:',
  ]
  static override enableJsonFlag = true
  static override args = {
    prefix: Args.string({ description: 'only keys that begin with it; default: all' }),
  }
  static override flags = { force: Flags.boolean({ description: 'also in production' }) }

  async run(): Promise<{ cleared: number }> {
    const { args, flags } = await this.parse(CacheClear)
    return await this.withApp(async (app) => {
      const cache = sharedCache(app)
      if (!args.prefix) this.refuseInProduction(app, LOSS, flags.force)
      const cleared = await cache.clear(args.prefix)
      assertTold(cache)
      this.log(`cleared ${cleared}`)
      return { cleared }
    })
  }
}
