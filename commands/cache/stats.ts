import type { CacheStats } from '../../src/cache/types.ts'
import { errors } from '../../src/errors.ts'
import { BaseCommand } from '../_base.ts'
import { sharedCache } from '../_cache.ts'

export default class CacheStatistics extends BaseCommand {
  static override summary = 'Tell how much is cached, and how often that has helped'
  static override description =
    'Of all processes together; each adds what it has counted every few seconds. It goes through everything that is stored.'
  static override examples = [
    '<%= config.bin %> cache stats',
    '<%= config.bin %> cache stats --json',
  ]
  static override enableJsonFlag = true

  async run(): Promise<Pick<CacheStats, 'counts' | 'redis'>> {
    await this.parse(CacheStatistics)
    return await this.withApp(async (app) => {
      const { formatTable } = await import('../_print.ts')
      const { counts, redis } = await sharedCache(app).stats()
      if (!redis) throw errors.CACHE_UNAVAILABLE('it does not answer')
      const rows = Object.entries({ ...redis, ...counts })
      this.log(formatTable(rows))
      return { counts, redis }
    })
  }
}
