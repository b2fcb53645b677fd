import closeWithGrace from 'close-with-grace'
import { createApp } from './app.ts'
import type { Config } from './config.ts'

const app = await createApp({ raw: process.argv.includes('--raw') })
const { HOST, PORT } = app.getEnvs<Config>()
await app.listen({ host: HOST, port: PORT })
closeWithGrace({ delay: 10_000, logger: app.log }, async ({ err }) => {
  if (err) app.log.fatal(err)
  await app.close()
})
