import type { FastifyPluginAsync } from 'fastify'
import Fastify from 'fastify'
import { definePlugin, defineService, Type } from '../../src/index.ts'

const sms = definePlugin({
  name: 'sms',
  env: Type.Object({ SMS_PORT: Type.Integer() }),
  checks: [(_, { env }) => [{ level: 'ok', message: env.SMS_PORT.toFixed() }]],
  register(_app, { from }: { from: string }, { env, name }) {
    const port: number = env.SMS_PORT
    // @ts-expect-error it has no such variable
    env.SMS_URL
    return void [from.length, name, port]
  },
})
const bare = definePlugin({ name: 'bare' })

const use: FastifyPluginAsync = sms({ from: '+49', name: 'alerts' })
defineService({ name: 'shop', modules: {}, plugins: [use, sms({ from: '+49' }), bare, bare()] })
// @ts-expect-error an option is missing
sms()
// @ts-expect-error an option is of another type
sms({ from: 7 })
// @ts-expect-error it needs options
defineService({ name: 'shop', modules: {}, plugins: [sms] })

const app = Fastify()
app.register(sms, { from: '+49' })
app.register(bare)
// @ts-expect-error an option is missing
app.register(sms, {})
