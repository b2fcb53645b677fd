import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSigner } from 'fast-jwt'
import type { Sandbox } from '../test/servers/sandbox.ts'
import { type BareRatio, type BareRoute, compareSides } from './bare.ts'
import type { Options } from './options.ts'
import { commands } from './prepare.ts'
import { startServer } from './server.ts'

/** More than either side keeps: each comes as one that is not known. */
const MANY = 6000

/**
 * Loads a route for whoever has a token, in a service with plinth/plugins/bearer and by @fastify/jwt by hand, and one with three
 * permissions, beside the same checks by hand.
 */
export async function measureTokens(
  { sandbox, wrk }: { sandbox: Sandbox; wrk: string },
  options: Options,
): Promise<BareRatio[]> {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const rules = { aud: 'bench', iss: 'https://login.test' }
  const sign = createSigner({
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    algorithm: 'RS256',
    ...rules,
    expiresIn: 86_400_000,
  })
  const tokens = Array.from({ length: MANY }, (_, jti) =>
    sign({ sub: 'ann', name: 'Ann', jti: `${jti}` }),
  )
  const write = (name: string, some: readonly string[]) => {
    const file = join(sandbox.folder, name)
    const list = some.map((token) => `"Bearer ${token}"`)
    writeFileSync(
      file,
      `local tokens = {${list}}\nlocal i = 0\nfunction request()\n  i = i % #tokens + 1\n  return wrk.format("GET", nil, { authorization = tokens[i] })\nend\n`,
    )
    return file
  }
  const [one, many] = [write('one.lua', tokens.slice(0, 1)), write('many.lua', tokens)]
  const badge = join(sandbox.folder, 'badge.lua')
  writeFileSync(badge, 'wrk.headers["x-badge"] = "4711"\n')
  const routes = new Map<string, BareRoute>([
    ['tokens in turns', { path: '/me', script: many }],
    ['one token', { path: '/me', script: one }],
    ['one token, cached by hand', { path: '/me', barePath: '/cached', script: one }],
    ['three permissions', { path: '/desks/7', script: badge }],
  ])
  const env = {
    JWT_KEY: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    JWT_AUDIENCE: rules.aud,
    JWT_ISSUER: rules.iss,
    LOG_LEVEL: 'silent',
    PLINTH_SERVICE: 'bench/tokens/service',
  }
  const start = (side: 'tokens' | 'plinth') => startServer(sandbox, commands[side], env)
  return await compareSides(wrk, options, routes, async () => ({
    bare: await start('tokens'),
    control: await start('tokens'),
    plinth: await start('plinth'),
  }))
}
