import type { Ajv } from 'ajv'
import type addFormats from 'ajv-formats'
import { loadNow } from '../packages.ts'
import { formats } from './plainly.ts'

let made: Ajv | undefined

/**
 * The validator of configuration, one for `readConfig()` and for @fastify/env, so that a schema is compiled
 * once. Text is coerced; all formats of ajv-formats are known, and `host` and `proxies`.
 */
export function validator(): Ajv {
  made ??= createAjv()
  return made
}

function createAjv(): Ajv {
  const { Ajv } = loadNow('ajv') as typeof import('ajv')
  const ajv = new Ajv({
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
    formats,
  })
  const { default: addAll } = loadNow('ajv-formats') as typeof addFormats
  addAll(ajv)
  ajv.addVocabulary(['secret', 'expected', 'derived', 'time'])
  return ajv
}
