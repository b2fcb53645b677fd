import { Ajv2019, type ErrorObject, type Options, type ValidateFunction } from 'ajv/dist/2019.js'
import addFormats from 'ajv-formats'
import type { ErrorDetail } from '../errors.ts'
import type { JsonSchema } from './schema.ts'

// Past this many the rest says nothing new, and a body of a million bad items would answer with as many.
const MAX_DETAILS = 100

const OPTIONS: Options = {
  allErrors: true,
  useDefaults: true,
  strict: false,
  addUsedSchema: false,
  // The schemas are the service's own, from a typed builder: checking them would only take time at boot.
  meta: false,
  validateSchema: false,
}

function createAjv(coerceTypes: Options['coerceTypes']): Ajv2019 {
  const ajv = new Ajv2019({ ...OPTIONS, coerceTypes: coerceTypes ?? false })
  addFormats.default(ajv)
  return ajv
}

let exact: Ajv2019 | undefined
let coercing: Ajv2019 | undefined

/** Compiles a validator that takes values as they are: for JSON bodies, calls in process and responses. */
export function compileExact(schema: JsonSchema): ValidateFunction {
  exact ??= createAjv(false)
  return exact.compile(schema)
}

/** Compiles a validator for what arrives as text (path, query): `'1'` becomes 1, a lone value a list. */
export function compileCoercing(schema: JsonSchema): ValidateFunction {
  coercing ??= createAjv('array')
  return coercing.compile(schema)
}

/** What was wrong, place by place, in words for the caller. */
export function toDetails(found: readonly ErrorObject[] | null | undefined): ErrorDetail[] {
  const details = (found ?? []).slice(0, MAX_DETAILS).map(toDetail)
  return details.filter((a, i) => details.findIndex((b) => same(a, b)) === i)
}

function same(a: ErrorDetail, b: ErrorDetail): boolean {
  return a.path === b.path && a.message === b.message
}

function toDetail({ instancePath, keyword, params, message }: ErrorObject): ErrorDetail {
  switch (keyword) {
    case 'required':
      return { path: `${instancePath}/${toToken(params.missingProperty)}`, message: 'is required' }
    case 'additionalProperties':
      return {
        path: `${instancePath}/${toToken(params.additionalProperty)}`,
        message: 'is not known here',
      }
    case 'unevaluatedProperties':
      return {
        path: `${instancePath}/${toToken(params.unevaluatedProperty)}`,
        message: 'is not known here',
      }
    case 'enum':
      return { path: instancePath, message: `must be one of ${params.allowedValues.join(', ')}` }
    case 'const':
      return { path: instancePath, message: `must be ${JSON.stringify(params.allowedValue)}` }
    default:
      return { path: instancePath, message: message ?? `breaks the rule ${keyword}` }
  }
}

// RFC 6901, 3.
function toToken(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}
