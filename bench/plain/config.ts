import Type, { type Static } from 'typebox'

export const configSchema = Type.Object({
  HOST: Type.String({ default: '127.0.0.1' }),
  PORT: Type.Integer({ default: 8000, minimum: 0, maximum: 65535 }),
  DOCS: Type.Boolean({ default: false }),
  REDIS_URL: Type.Optional(Type.String()),
  JWT_KEY: Type.String(),
  DATABASE_URL: Type.String({ default: 'sqlite:./data/dev.db' }),
})

export type Config = Static<typeof configSchema>
