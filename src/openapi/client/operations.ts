import { isDeepStrictEqual } from 'node:util'
import type { Method } from '../../resource/contract.ts'
import type { JsonSchema } from '../../resource/schema.ts'
import type { Style, Wire } from './define-operations.ts'
import { isJson, type Json, LeftOut, type OpenApiDocument, resolve } from './document.ts'
import { camelCase, Names, RESERVED } from './names.ts'
import { OF_EVERY_OBJECT, type Schemas, TOLD } from './schemas.ts'

/** An operation as the document has it. */
export interface Found {
  /** What its resource is called. */
  readonly name: string
  /** In the document, where it has one. */
  readonly id: string | undefined
  readonly method: string
  readonly path: string
  readonly tags: readonly string[]
  readonly operation: Json
  readonly item: Json
}

/** One that is written. */
export interface Operation extends Found {
  readonly wire: Wire
  readonly request: JsonSchema
  /** What the type of the request is made of, where it is not that of `request` itself. */
  readonly types: readonly JsonSchema[] | undefined
  readonly response: JsonSchema
  /** What of it was left out. */
  readonly notes: readonly string[]
}

const METHODS = ['get', 'put', 'post', 'delete', 'patch', 'head', 'options', 'trace'] as const

/**
 * Every operation of a document by the name that its resource gets.
 *
 * @param notes takes what is told of names
 * @throws {PlinthError} OPENAPI_INVALID where a part of its paths is in another document
 */
export function findOperations(document: OpenApiDocument, notes: string[]): Found[] {
  const { paths } = document.root
  const found: Omit<Found, 'name'>[] = []
  for (const [path, value] of Object.entries(isJson(paths) ? paths : {})) {
    if (!path.startsWith('/')) continue
    const item = resolve(document, value)
    for (const method of METHODS) {
      const operation = item[method]
      if (!isJson(operation)) continue
      const { operationId, tags } = operation
      const id = typeof operationId === 'string' && operationId !== '' ? operationId : undefined
      const named = Array.isArray(tags) ? tags.map(String) : []
      found.push({ id, method: method.toUpperCase(), path, tags: named, operation, item })
    }
  }
  // So that a document whose parts have changed places gives the same names.
  found.sort((a, b) => compare(a.path, b.path) || compare(a.method, b.method))
  return nameAll(found, notes)
}

function nameAll(found: readonly Omit<Found, 'name'>[], notes: string[]): Found[] {
  const names = new Names(RESERVED)
  const byId = new Map<string, string>()
  return found.map((one) => {
    const { id, method, path } = one
    const name = names.take(camelCase(id ?? `${method.toLowerCase()} ${path}`))
    const before = id === undefined ? undefined : byId.get(id)
    if (id !== undefined) {
      if (before !== undefined)
        notes.push(`two operations are called ${id}: ${method} ${path} is ${name} here`)
      byId.set(id, name)
    }
    return { name, ...one }
  })
}

/** By code units, whatever the language of the machine is. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

/** One parameter of an operation, and the property of the request that it comes from. */
interface Parameter {
  property: string
  name: string
  place: 'path' | 'query' | 'header'
  schema: JsonSchema
  required: boolean
  style: Style | undefined
}

/** A body as it is sent. */
interface Body {
  kind: NonNullable<Wire['body']>
  type: string | undefined
  schema: JsonSchema
  required: boolean
  /** Its parts that are written in pieces. */
  deep: readonly string[]
}

/** Reads the operations of one document. */
export class OperationReader {
  readonly #document: OpenApiDocument
  readonly #schemas: Schemas
  readonly #serverOf: (servers: unknown) => string | undefined

  /** @param serverOf the variable of a server that is not that of the document */
  constructor(
    document: OpenApiDocument,
    schemas: Schemas,
    serverOf: (servers: unknown) => string | undefined,
  ) {
    this.#document = document
    this.#schemas = schemas
    this.#serverOf = serverOf
  }

  /** @throws {LeftOut} */
  read(found: Found): Operation {
    const { operation, item, method, path } = found
    if (!isMethod(method)) throw new LeftOut(`no resource has the method ${method}`)
    const notes: string[] = []
    const parameters = this.#parameters(found, notes)
    const body = this.#body(operation, method, notes)
    const { response, answer } = this.#answer(operation)
    const { request, types, whole } = this.#request(parameters, body)
    const server = this.#serverOf(operation.servers ?? item.servers)
    const inQuery = parameters.filter(({ place }) => place === 'query')
    const inHeaders = parameters.filter(({ place }) => place === 'header')
    const renamed = parameters.filter(({ name, property }) => name !== property)
    const styled = parameters.filter(({ style }) => style !== undefined)
    const wire: Wire = {
      summary: oneLine(operation.summary) || oneLine(operation.description) || `${method} ${path}`,
      method,
      path,
      ...(inQuery.length > 0 && { query: inQuery.map(({ property }) => property) }),
      ...(inHeaders.length > 0 && { headers: table(inHeaders, ({ name }) => name) }),
      ...(renamed.length > 0 && { names: table(renamed, ({ name }) => name) }),
      ...(styled.length > 0 && { styles: table(styled, ({ style }) => style as Style) }),
      ...(body && { body: body.kind }),
      ...(whole !== undefined && { whole }),
      ...(body?.type !== undefined && { type: body.type }),
      ...(body && body.deep.length > 0 && { deep: body.deep }),
      ...(answer && { answer }),
      ...(server && { server }),
    }
    return { ...found, wire, request, types, response, notes }
  }

  #parameters({ operation, item, path }: Found, notes: string[]): Parameter[] {
    const byPlace = new Map<string, Json>()
    for (const list of [item.parameters, operation.parameters]) {
      for (const one of Array.isArray(list) ? list : []) {
        const parameter = resolve(this.#document, one)
        // That of the operation replaces that of its path.
        byPlace.set(`${parameter.in} ${parameter.name}`, parameter)
      }
    }
    const parameters: Parameter[] = []
    const properties = new Names()
    for (const place of ['path', 'query', 'header', 'cookie']) {
      for (const parameter of byPlace.values()) {
        if (parameter.in !== place) continue
        const read = this.#parameter(parameter, properties, notes)
        if (read) parameters.push(read)
      }
    }
    const outside = path.split(/\{[^{}]*\}/).join('')
    if (!/^[\x21-\x7e]*$/.test(outside) || /[?#\\{}]/.test(outside))
      throw new LeftOut('its path is none of an address')
    const [known, wanted] = [
      parameters.filter(({ place }) => place === 'path').map(({ name }) => name),
      Array.from(path.matchAll(/\{([^{}]*)\}/g), ([, name = '']) => name),
    ]
    const missing = wanted.find((name) => !known.includes(name))
    if (missing !== undefined)
      throw new LeftOut(`its path has {${missing}}, of which no parameter tells`)
    const twice = wanted.find((name, index) => wanted.indexOf(name) < index)
    if (twice !== undefined) throw new LeftOut(`its path has {${twice}} twice`)
    return parameters.filter(({ place, name }) => place !== 'path' || wanted.includes(name))
  }

  #parameter(parameter: Json, properties: Names, notes: string[]): Parameter | undefined {
    const { name, in: place, content, required } = parameter
    if (typeof name !== 'string' || name === '') throw new LeftOut('a parameter of it has no name')
    if (OF_EVERY_OBJECT.has(name)) throw new LeftOut(`a parameter of it is called ${name}`)
    if (place === 'header' && IGNORED.includes(name.toLowerCase())) return undefined
    if (place === 'cookie' || (place === 'header' && !TOKEN.test(name))) {
      const problem = place === 'cookie' ? `the cookie ${name}` : `the header ${name}`
      if (required === true) throw new LeftOut(`it needs ${problem}, which cannot be sent`)
      notes.push(`${problem} is not sent`)
      return undefined
    }
    if (content !== undefined) throw new LeftOut(`its parameter ${name} has a media type`)
    const where = place as Parameter['place']
    return {
      property: properties.take(name),
      name,
      place: where,
      schema: { ...this.#schemas.read(parameter.schema ?? {}), ...told(parameter) },
      required: required === true || where === 'path',
      style: this.#styleOf(parameter, where),
    }
  }

  #styleOf({ name, style, explode, schema }: Json, place: Parameter['place']): Style | undefined {
    if (place !== 'query') {
      if (style === undefined || style === 'simple') return undefined
      throw new LeftOut(`its parameter ${name} has the style ${style}`)
    }
    switch (style ?? 'form') {
      case 'form': {
        if (explode === false) return 'comma'
        const { type } = this.#schemas.unfold(this.#schemas.read(schema ?? {}))
        if (type === 'object') throw new LeftOut(`its parameter ${name} is an object in pieces`)
        return undefined
      }
      case 'deepObject':
        return 'deep'
      case 'spaceDelimited':
        return explode === true ? undefined : 'space'
      case 'pipeDelimited':
        return explode === true ? undefined : 'pipe'
      default:
        throw new LeftOut(`its parameter ${name} has the style ${style}`)
    }
  }

  #body(operation: Json, method: string, notes: string[]): Body | undefined {
    if (operation.requestBody === undefined) return undefined
    const { content, required = false } = resolve(this.#document, operation.requestBody)
    const types = isJson(content) ? content : {}
    const chosen = chooseBody(Object.keys(types))
    if (!chosen) throw new LeftOut(`it takes ${Object.keys(types).join(', ') || 'no media type'}`)
    const [type, kind] = chosen
    const media = isJson(types[type]) ? types[type] : {}
    const schema = media.schema === undefined ? {} : this.#schemas.read(media.schema)
    if (method === 'GET') {
      const { properties = {} } = this.#schemas.unfold(schema)
      if (Object.keys(properties).length > 0) notes.push('its body is left out: a GET has none')
      return undefined
    }
    const said = kind === 'json' && !PLAIN.includes(type)
    const named = said || kind === 'text' || kind === 'bytes'
    return {
      kind,
      type: named ? (type === '*/*' ? 'application/octet-stream' : type) : undefined,
      schema: kind === 'multipart' ? this.#withFiles(schema) : kind === 'bytes' ? FILE : schema,
      required: required === true,
      deep: kind === 'form' || kind === 'multipart' ? deepParts(media.encoding) : [],
    }
  }

  /** A multipart body, whose binary parts are files. */
  #withFiles(schema: JsonSchema): JsonSchema {
    const whole = this.#schemas.unfold(schema)
    const properties = Object.entries(whole.properties ?? {}).map(([name, one]) => {
      const { type, items, description } = this.#schemas.unfold(one)
      const told = { ...(description !== undefined && { description }) }
      const file = fileOf(this.#schemas.unfold(one))
      if (file) return [name, { ...told, ...file }] as const
      const item = type === 'array' && fileOf(this.#schemas.unfold((items ?? {}) as JsonSchema))
      return [name, item === FILE ? { ...told, type, items: FILE } : one] as const
    })
    return properties.length > 0 ? { ...whole, properties: Object.fromEntries(properties) } : whole
  }

  #answer(operation: Json): { response: JsonSchema; answer?: Wire['answer'] } {
    const responses = isJson(operation.responses) ? operation.responses : {}
    const codes = Object.keys(responses).filter((code) => /^2(?:\d\d|XX)$/i.test(code))
    if (codes.length === 0 && Object.keys(responses).some((code) => code.startsWith('3')))
      throw new LeftOut('it answers with a redirect, which is not followed')
    if (codes.length === 0 && responses.default !== undefined) codes.push('default')
    const answers = codes.map((code) =>
      this.#answerOf(code, resolve(this.#document, responses[code])),
    )
    const kinds = new Set(answers.filter(({ kind }) => kind !== 'none').map(({ kind }) => kind))
    const [kind = 'json', other] = kinds
    if (other) throw new LeftOut(`it answers with ${kind} or ${other}, as it wants`)
    const distinct: JsonSchema[] = []
    for (const { schema } of answers)
      if (!distinct.some((one) => isDeepStrictEqual(one, schema))) distinct.push(schema)
    const isAny = distinct.some((schema) => Object.keys(schema).length === 0)
    // Where no success is told of, it may be anything.
    const [first = {}] = distinct
    const response = isAny ? {} : distinct.length > 1 ? { anyOf: distinct } : first
    return { response, ...((kind === 'text' || kind === 'stream') && { answer: kind }) }
  }

  #answerOf(code: string, { content }: Json): { schema: JsonSchema; kind: string } {
    const types = isJson(content) ? content : {}
    const [first] = Object.keys(types)
    if (first === undefined) {
      const isEmpty = code === '204' || code === '205'
      return { schema: isEmpty ? { type: 'null' } : {}, kind: 'none' }
    }
    const known = Object.keys(types).find(isJsonType)
    const type = known ?? (ANY_TYPE.includes(first) ? first : undefined)
    if (type !== undefined) {
      const media = resolve(this.#document, types[type])
      const schema = media.schema === undefined ? {} : this.#schemas.read(media.schema)
      // What may be anything and is a text is hardly one in quotes.
      const isText = known === undefined && this.#schemas.unfold(schema).type === 'string'
      return { schema, kind: isText ? 'text' : 'json' }
    }
    return first.startsWith('text/')
      ? { schema: { type: 'string' }, kind: 'text' }
      : { schema: STREAM, kind: 'stream' }
  }

  #request(
    parameters: readonly Parameter[],
    body: Body | undefined,
  ): { request: JsonSchema; types: JsonSchema[] | undefined; whole?: string } {
    const own = objectOf(parameters)
    if (!body) return { request: own, types: undefined }
    const unfolded = this.#schemas.unfold(body.schema)
    const names = parameters.map(({ property }) => property)
    if (isFlat(unfolded, body, names)) {
      const { properties, required = [] } = unfolded
      const merged = { ...own.properties, ...properties }
      const all = [...(own.required ?? []), ...required]
      const request = {
        type: 'object',
        properties: merged,
        ...(all.length > 0 && { required: all }),
      }
      const isNamed = body.schema.$ref !== undefined && body.kind !== 'multipart'
      if (!isNamed) return { request, types: undefined }
      return { request, types: parameters.length > 0 ? [own, body.schema] : [body.schema] }
    }
    const properties = new Names(names)
    const whole = properties.take('body')
    const { required, schema } = body
    const added = { property: whole, name: whole, place: 'query', style: undefined } as const
    return {
      request: objectOf([...parameters, { ...added, schema, required }]),
      types: undefined,
      whole,
    }
  }
}

/** Whether what a body has can stand beside the parameters: an object of its own properties, which can be left out one by one. */
function isFlat(schema: JsonSchema, { required, kind }: Body, names: readonly string[]): boolean {
  if (kind === 'text' || kind === 'bytes') return false
  const { type, properties, additionalProperties = false, patternProperties } = schema
  if (type !== 'object' || !properties || additionalProperties !== false || patternProperties)
    return false
  if (!required && (schema.required ?? []).length > 0) return false
  return !Object.keys(properties).some((name) => names.includes(name))
}

function objectOf(
  parameters: readonly Pick<Parameter, 'property' | 'schema' | 'required'>[],
): JsonSchema {
  const required = parameters.filter((one) => one.required).map(({ property }) => property)
  return {
    type: 'object',
    properties: table(parameters, ({ schema }) => schema),
    ...(required.length > 0 && { required }),
  }
}

function table<One extends { property: string }, T>(
  list: readonly One[],
  value: (one: One) => T,
): Record<string, T> {
  return Object.fromEntries(list.map((one) => [one.property, value(one)]))
}

/** What files, parts of a form that are a file or a text, and answers that are not read have in place of a schema. */
const FILE: JsonSchema = { 'x-plinth': 'file' }
const PART: JsonSchema = { 'x-plinth': 'part' }
const STREAM: JsonSchema = { 'x-plinth': 'stream' }

/** What a part of a form is where it may be a file: many documents say no more than that it is a text. */
function fileOf(schema: JsonSchema): JsonSchema | undefined {
  if (schema.type !== 'string') return undefined
  if (schema.format === 'binary') return FILE
  return Object.keys(schema).every((key) => key === 'type' || TOLD.includes(key)) ? PART : undefined
}

/** The parts of a form that are written in pieces: `address[city]=Ys`. */
function deepParts(encoding: unknown): string[] {
  return Object.entries(isJson(encoding) ? encoding : {})
    .filter(([, one]) => isJson(one) && one.style === 'deepObject')
    .map(([name]) => name)
}

/** OpenAPI says of them that they mean nothing as parameters. */
const IGNORED = ['accept', 'content-type', 'authorization']
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/
const PLAIN = ['application/json', '*/*', 'application/*']
const ANY_TYPE = ['*/*', 'application/*']

function isMethod(method: string): method is Method {
  return ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(method)
}

function isJsonType(type: string): boolean {
  return /^[\w.*-]+\/(?:json|[\w.+-]+\+json)\s*(?:;\s*charset=.*)?$/i.test(type)
}

/** The media type that is sent, of those that an operation takes. */
function chooseBody(types: readonly string[]): [string, Body['kind']] | undefined {
  const find = (test: (type: string) => boolean) => types.find(test)
  const json =
    find((type) => /^application\/json\s*(?:;|$)/i.test(type)) ??
    find((type) => /^application\/merge-patch\+json\b/i.test(type)) ??
    find(isJsonType)
  if (json) return [json, 'json']
  for (const [pattern, kind] of OTHERS) {
    const type = find((one) => pattern.test(one))
    if (type) return [type, kind]
  }
  return undefined
}

const OTHERS: readonly (readonly [RegExp, Body['kind']])[] = [
  [/^application\/x-www-form-urlencoded\b/i, 'form'],
  [/^multipart\/form-data\b/i, 'multipart'],
  [/^(?:\*|application)\/\*$/, 'json'],
  [/^text\/plain\b/i, 'text'],
  [/^text\//i, 'text'],
  [/^[\w.+*-]+\/[\w.+*-]+$/, 'bytes'],
]

function told({ description, deprecated }: Json): JsonSchema {
  return {
    ...(typeof description === 'string' && { description }),
    ...(deprecated === true && { deprecated }),
  }
}

const LONGEST_SUMMARY = 120

function oneLine(text: unknown): string {
  if (typeof text !== 'string') return ''
  const [first = ''] = text.trim().split(/\r?\n/, 1)
  const clean = first.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').trim()
  return clean.length > LONGEST_SUMMARY ? `${clean.slice(0, LONGEST_SUMMARY - 1)}…` : clean
}
