import type {
  Ajv2019,
  ErrorObject,
  KeywordDefinition,
  Options,
  ValidateFunction,
} from 'ajv/dist/2019.js'
import type { DataValidateFunction, SchemaValidateFunction } from 'ajv/dist/types/index.js'
import type addFormats from 'ajv-formats'
import type { ErrorDetail } from '../errors.ts'
import { loadNow } from '../packages.ts'
import { isFileValue, typeOfFile } from '../upstream/body.ts'
import { problemOfType } from './file-type.ts'
import { type JsonSchema, nameOf } from './json-schema.ts'
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

function createAjv(options = OPTIONS): Ajv2019 {
  const { Ajv2019 } = loadNow('ajv/dist/2019.js') as typeof import('ajv/dist/2019.js')
  const ajv = new Ajv2019(options)
  const { default: addAll } = loadNow('ajv-formats') as typeof addFormats
  addAll(ajv)
  checkSizesFirst(ajv)
  boundUrls(ajv)
  ajv.addKeyword(FILE)
  return ajv
}

const isFile: SchemaValidateFunction = (wanted: boolean, value: unknown, schema) => {
  if (!wanted) return true
  const problem = isFileValue(value)
    ? problemOfType(schema?.types, typeOfFile(value))
    : 'must be a file'
  isFile.errors = problem === undefined ? [] : [{ keyword: 'file', message: problem, params: {} }]
  return problem === undefined
}

/** What `file()` says of a value. */
const FILE: KeywordDefinition = {
  keyword: 'file',
  schemaType: 'boolean',
  errors: true,
  validate: isFile,
}

// The longest that browsers and proxies agree on.
const MAX_URL = 2048

/** The pattern of the format `url` takes seconds for 100 kB, alone among the formats. */
function boundUrls(ajv: Ajv2019): void {
  const pattern = ajv.formats.url as RegExp
  ajv.addFormat('url', (text: string) => text.length <= MAX_URL && pattern.test(text))
}

const known = new Map<string, ValidateFunction>()
let ajv: Ajv2019 | undefined
let verbose: Ajv2019 | undefined

/**
 * Compiles a validator that takes values as they are; equal schemas are compiled once, those of paths and queries are often
 * the same.
 */
export function compileExact(schema: JsonSchema): ValidateFunction {
  const text = JSON.stringify(schema)
  let compiled = known.get(text)
  if (!compiled) {
    const validate = compile(shareSizes(schema), text.includes(`"${MESSAGES}":`))
    compiled = schema.$defs === undefined ? validate : boundDepth(validate)
    known.set(text, compiled)
  }
  return compiled
}

/** What a schema says of a value that it refuses, by keyword: `messages: { minLength: 'is too short', required: 'is what we call you by' }`. */
const MESSAGES = 'messages'

function compile(schema: JsonSchema, hasMessages: boolean): ValidateFunction {
  if (!hasMessages) {
    ajv ??= createAjv()
    return ajv.compile(schema)
  }
  verbose ??= createAjv({ ...OPTIONS, verbose: true })
  return inOwnWords(verbose.compile(schema))
}

/** An error for which its schema has words. */
interface Told extends ErrorObject {
  own?: string | undefined
}

/** Finds the words of schemas, and takes out of the errors what else is told for that: the value, which may be a secret. */
function inOwnWords(validate: ValidateFunction): ValidateFunction {
  const telling = (value: unknown): boolean => {
    const fits = validate(value) as boolean
    telling.errors = validate.errors?.map(({ parentSchema, schema, data, ...error }): Told => {
      return { ...error, own: ownMessage(error, parentSchema) }
    })
    return fits
  }
  telling.errors = undefined as ValidateFunction['errors']
  return telling as ValidateFunction
}

/** Of something that is missing, that of what it would be. */
function ownMessage(
  { keyword, params }: Pick<ErrorObject, 'keyword' | 'params'>,
  parent: ErrorObject['parentSchema'],
): string | undefined {
  const schema = keyword === 'required' ? parent?.properties?.[params.missingProperty] : parent
  const messages: unknown = schema?.[MESSAGES]
  if (typeof messages !== 'object' || messages === null) return undefined
  const own: unknown = Object.hasOwn(messages, keyword) && messages[keyword as never]
  return typeof own === 'string' ? own : undefined
}

/** A validator that is compiled when it is first asked. */
export function compileLater(compile: () => ValidateFunction): ValidateFunction {
  let validate: ValidateFunction | undefined
  const later = (value: unknown): boolean => {
    validate ??= compile()
    const fits = validate(value)
    later.errors = validate.errors
    return fits as boolean
  }
  later.errors = undefined as ValidateFunction['errors']
  return later as ValidateFunction
}

/**
 * Compiles schemas of one document, each when a value first reaches it: `$ref` is followed as values are, not before. The first thing
 * that is wrong ends it.
 *
 * @param find the schema that `#/$defs/NAME` names
 * @returns makes the validator of a name
 */
export function compileByReference(
  find: (name: string) => JsonSchema,
): (name: string) => ValidateFunction {
  const own = createAjv({ ...OPTIONS, allErrors: false, useDefaults: false })
  const known = new Map<string, ValidateFunction>()
  const compile = (name: string) => {
    const compiled = known.get(name) ?? own.compile(find(name))
    known.set(name, compiled)
    return compiled
  }
  own.removeKeyword('$ref')
  own.addKeyword({
    keyword: '$ref',
    errors: 'full',
    compile(reference: string) {
      const follow: DataValidateFunction = (value, place) => {
        const validate = compile(nameOf(reference))
        const fits = validate(value, place)
        follow.errors = validate.errors ?? []
        return fits
      }
      return follow
    },
  })
  return (name) => boundDepth(compile(name))
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

/** What is wrong where something is missing. */
export const REQUIRED = 'is required'

/** What was wrong, place by place, in words for the caller. */
export function toDetails(found: readonly ErrorObject[] | null | undefined): ErrorDetail[] {
  const details = (found ?? []).slice(0, MAX_DETAILS).map(toDetail)
  return details.filter((a, i) => details.findIndex((b) => same(a, b)) === i)
}

function same(a: ErrorDetail, b: ErrorDetail): boolean {
  return a.path === b.path && a.message === b.message
}

function toDetail(error: Told): ErrorDetail {
  const { path, message } = describe(error)
  return { path, message: error.own ?? message }
}

function describe({ instancePath, keyword, params, message }: ErrorObject): ErrorDetail {
  switch (keyword) {
    case 'required':
      return { path: `${instancePath}/${toToken(params.missingProperty)}`, message: REQUIRED }
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
