import type { Method } from '../../resource/contract.ts'
import type { JsonSchema } from '../../schema/json-schema.ts'
import { type Body, BodyReader } from './bodies.ts'
import type { Style, Wire } from './define-operations.ts'
import { LeftOut } from './document.ts'
import type { Found } from './find-operations.ts'
import { Names } from './names.ts'
import { type Parameter, ParameterReader } from './parameters.ts'
import type { Schemas } from './schemas.ts'

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

/** Reads the operations of one document. */
export class OperationReader {
  readonly #schemas: Schemas
  readonly #parameters: ParameterReader
  readonly #bodies: BodyReader
  readonly #serverOf: (servers: unknown) => string | undefined

  /** @param serverOf the variable of a server that is not that of the document */
  constructor(schemas: Schemas, serverOf: (servers: unknown) => string | undefined) {
    this.#schemas = schemas
    this.#parameters = new ParameterReader(schemas)
    this.#bodies = new BodyReader(schemas)
    this.#serverOf = serverOf
  }

  /** @throws {LeftOut} */
  read(found: Found): Operation {
    const { operation, item, method, path } = found
    if (!isMethod(method)) throw new LeftOut(`no resource has the method ${method}`)
    const notes: string[] = []
    const parameters = this.#parameters.read(found, notes)
    const body = this.#bodies.body(operation, method, notes)
    const { response, answer } = this.#bodies.answer(operation)
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

function isMethod(method: string): method is Method {
  return ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(method)
}

const LONGEST_SUMMARY = 120

function oneLine(text: unknown): string {
  if (typeof text !== 'string') return ''
  const [first = ''] = text.trim().split(/\r?\n/, 1)
  const clean = first.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').trim()
  return clean.length > LONGEST_SUMMARY ? `${clean.slice(0, LONGEST_SUMMARY - 1)}…` : clean
}
