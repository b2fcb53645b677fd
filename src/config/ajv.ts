import { isIP } from 'node:net'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'

const HOST_NAME = /^[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_.])?$/i
const PROXY_NAMES = new Set(['loopback', 'linklocal', 'uniquelocal'])

function isHost(value: string): boolean {
  return isIP(value) !== 0 || HOST_NAME.test(value)
}

// The same as Fastify's `trustProxy` takes, so that it cannot fail on it later.
function isProxyList(value: string): boolean {
  return value.split(',').every((item) => isProxy(item.trim()))
}

function isProxy(item: string): boolean {
  if (PROXY_NAMES.has(item)) return true
  const [address = '', bits, ...rest] = item.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return (
    bits === undefined || (/^[1-9]\d*$/.test(bits) && Number(bits) <= (version === 6 ? 128 : 32))
  )
}

/**
 * The validator of configuration, one for `readConfig()` and for @fastify/env, so that a schema is compiled
 * once. Text is coerced; all formats of ajv-formats are known, and `host` and `proxies`.
 */
export const ajv = new Ajv({
  allErrors: true,
  coerceTypes: true,
  useDefaults: true,
  removeAdditional: true,
  allowUnionTypes: true,
  addUsedSchema: false,
  // Used once per process: these three save two thirds of the start. Keywords are checked all the same.
  meta: false,
  validateSchema: false,
  code: { optimize: false },
  formats: { host: isHost, proxies: isProxyList },
})
addFormats.default(ajv)
ajv.addVocabulary(['secret', 'expected', 'derived'])
