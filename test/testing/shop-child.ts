import { testApp } from '../../src/testing/index.ts'
import { addOrder, root, shop } from './shop/service.ts'

// A process that makes an app on each database, and tells where these are: `close` closes them, `stay` waits to be killed.
const [way, mysql = ''] = process.argv.slice(2)
const apps = [
  await testApp(shop, { root, database: 'sqlite', setUp: addOrder }),
  await testApp(shop, { root, database: mysql, setUp: addOrder }),
]
console.log(apps.map(({ config }) => config.DATABASE_URL).join(' '))
if (way === 'close') for (const app of apps) await app.close()
