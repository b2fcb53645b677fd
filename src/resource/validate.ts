import { Ajv2019, type ErrorObject, type Options, type ValidateFunction } from 'ajv/dist/2019.js'
import addFormats from 'ajv-formats'
import type { ErrorDetail } from '../errors.ts'
import type { JsonSchema } from './schema.ts'
import { checkSizesFirst, shareSizes } from './sizes.ts'

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

type Coercion = false | 'array'

function createAjv(coerceTypes: Coercion): Ajv2019 {
  const ajv = new Ajv2019({ ...OPTIONS, coerceTypes })
  addFormats.default(ajv)
  checkSizesFirst(ajv)
  boundUrls(ajv)
  return ajv
}

// The longest that browsers and proxies agree on.
const MAX_URL = 2048

/** The pattern of the format `url` takes seconds for 100 kB, alone among the formats. */
function boundUrls(ajv: Ajv2019): void {
  const pattern = ajv.formats.url as RegExp
  ajv.addFormat('url', (text: string) => text.length <= MAX_URL && pattern.test(text))
}

/** Compiles schemas, equal ones once: those of paths and queries are often the same. */
class Compiler {
  readonly #coerceTypes: Coercion
  readonly #known = new Map<string, ValidateFunction>()
  #ajv: Ajv2019 | undefined

  constructor(coerceTypes: Coercion) {
    this.#coerceTypes = coerceTypes
  }

  compile(schema: JsonSchema): ValidateFunction {
    const text = JSON.stringify(schema)
    let known = this.#known.get(text)
    if (!known) {
      this.#ajv ??= createAjv(this.#coerceTypes)
      const validate = this.#ajv.compile(shareSizes(schema))
      known = schema.$defs === undefined ? validate : boundDepth(validate)
      this.#known.set(text, known)
    }
    return known
  }
}

/** `validate`, which may call itself, for values that are nested deeper than the stack reaches. */
function boundDepth(validate: ValidateFunction): ValidateFunction {
  const bounded = (value: unknown): boolean => {
    try {
      const fits = validate(value)
      bounded.errors = validate.errors
      return fits
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      bounded.errors = [TOO_DEEP]
      return false
    }
  }
  bounded.errors = undefined as ValidateFunction['errors']
  return bounded as ValidateFunction
}

const TOO_DEEP: ErrorObject = {
  instancePath: '',
  schemaPath: '#',
  keyword: 'depth',
  params: {},
  message: 'is nested too deeply',
}

const exact = new Compiler(false)
const coercing = new Compiler('array')

/** Compiles a validator that takes values as they are: for JSON bodies, calls in process and responses. */
export function compileExact(schema: JsonSchema): ValidateFunction {
  return exact.compile(schema)
}

/** Compiles a validator for what arrives as text (path, query): `'1'` becomes 1, a lone value a list. */
export function compileCoercing(schema: JsonSchema): ValidateFunction {
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
