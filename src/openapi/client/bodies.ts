import { isDeepStrictEqual } from 'node:util'
import type { JsonSchema } from '../../schema/json-schema.ts'
import type { Wire } from './define-operations.ts'
import { isJson, type Json, LeftOut } from './document.ts'
import { type Schemas, TOLD } from './schemas.ts'

/** A body as it is sent. */
export interface Body {
  kind: NonNullable<Wire['body']>
  type: string | undefined
  schema: JsonSchema
  required: boolean
  /** Its parts that are written in pieces. */
  deep: readonly string[]
}

/** Reads what the operations of one document take and answer with. */
export class BodyReader {
  readonly #schemas: Schemas

  constructor(schemas: Schemas) {
    this.#schemas = schemas
  }

  /**
   * What an operation takes.
   *
   * @param notes takes what of it is left out
   * @throws {LeftOut}
   */
  body(operation: Json, method: string, notes: string[]): Body | undefined {
    if (operation.requestBody === undefined) return undefined
    const { content, required = false } = this.#schemas.resolve(operation.requestBody)
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

  /** What it answers with. @throws {LeftOut} */
  answer(operation: Json): { response: JsonSchema; answer?: Wire['answer'] } {
    const responses = isJson(operation.responses) ? operation.responses : {}
    const codes = Object.keys(responses).filter((code) => /^2(?:\d\d|XX)$/i.test(code))
    if (codes.length === 0 && Object.keys(responses).some((code) => code.startsWith('3')))
      throw new LeftOut('it answers with a redirect, which is not followed')
    if (codes.length === 0 && responses.default !== undefined) codes.push('default')
    const answers = codes.map((code) =>
      this.#answerOf(code, this.#schemas.resolve(responses[code])),
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
      const media = this.#schemas.resolve(types[type])
      const schema = media.schema === undefined ? {} : this.#schemas.read(media.schema)
      // What may be anything and is a text is hardly one in quotes.
      const isText = known === undefined && this.#schemas.unfold(schema).type === 'string'
      return { schema, kind: isText ? 'text' : 'json' }
    }
    // Of events there is no end, and a text that is told as bytes may be long.
    const { schema } = this.#schemas.resolve(types[first])
    const isBytes = first === 'text/event-stream' || (isJson(schema) && schema.format === 'binary')
    return first.startsWith('text/') && !isBytes
      ? { schema: { type: 'string' }, kind: 'text' }
      : { schema: STREAM, kind: 'stream' }
  }
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

const PLAIN = ['application/json', '*/*', 'application/*']
const ANY_TYPE = ['*/*', 'application/*']

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
