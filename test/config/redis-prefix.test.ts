import t from 'tap'
import { redisPrefix } from '../../src/config/redis-prefix.ts'

t.test('tells applications, modules and environments apart', async (t) => {
  const bk = { BKPAAS_APP_ID: 'shop-app', BKPAAS_APP_MODULE_NAME: 'default' }
  const of = (config: object) => redisPrefix('shop', { NODE_ENV: 'production', ...config })
  t.equal(of({}), 'shop:prod')
  t.equal(of({ NODE_ENV: 'development' }), 'shop:dev')
  t.equal(of({ NODE_ENV: 'test' }), 'shop:test')
  t.equal(of({ BKPAAS_ENVIRONMENT: 'stag' }), 'shop:stag')
  t.equal(of({ ...bk, BKPAAS_ENVIRONMENT: 'prod' }), 'shop-app:default:prod')
  t.equal(
    of({ ...bk, BKPAAS_ENVIRONMENT: 'stag', PLINTH_MODULES: '__all__' }),
    'shop-app:default:stag',
  )
})

t.test('modules of one service that a platform deploys apart share', async (t) => {
  const of = (module: string) =>
    redisPrefix('shop', {
      ...{ NODE_ENV: 'production', BKPAAS_APP_ID: 'app', BKPAAS_ENVIRONMENT: 'prod' },
      ...{ BKPAAS_APP_MODULE_NAME: module, PLINTH_MODULES: module },
    })
  t.equal(of('orders'), 'app:prod')
  t.equal(of('stock'), of('orders'))
})

t.test('REDIS_PREFIX is it', async (t) => {
  t.equal(redisPrefix('shop', { REDIS_PREFIX: 'shared', BKPAAS_ENVIRONMENT: 'stag' }), 'shared')
})
