import * as Args from '@oclif/core/args'
import { BaseCommand } from '../_base.ts'
import { assertTold, sharedCache } from '../_cache.ts'

export default class CacheInvalidate extends BaseCommand {
  static override summary = 'Take away what is cached under tags'
  static override description = 'In Redis and in the memory of every process.'
  static override examples = ['<%= config.bin %> cache invalidate city:2988507 country:FR']
  static override strict = false
  static override args = { tag: Args.string({ required: true, description: 'one, or several' }) }

  async run(): Promise<void> {
    const { argv } = await this.parse(CacheInvalidate)
    await this.withApp(async (app) => {
      const cache = sharedCache(app)
      await cache.invalidate(...(argv as string[]))
      assertTold(cache)
      this.log(`invalidated ${argv.join(', ')}`)
    })
  }
}
