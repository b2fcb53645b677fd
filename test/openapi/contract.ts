import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import type { Document, MediaType, Operation, ResponseObject } from '../../src/openapi/types.ts'
import { closeSchema, type JsonSchema } from '../../src/schema/json-schema.ts'

/** One operation of a document, and where it is. */
export interface Listed {
  path: string
  method: string
  operation: Operation
}

/** The document that `app` serves, and each operation in it. */
export async function readOperations(
  app: FastifyInstance,
): Promise<{ document: Document; operations: Listed[] }> {
  const document = (await app.inject('/openapi.json')).json<Document>()
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
  return { document, operations }
}

/** The request that the examples of a document describe. */
export function exampleRequest({ path, method, operation }: Listed): InjectOptions {
  const { parameters = [], requestBody } = operation
  const query = new URLSearchParams()
  let url = path
  for (const { name, in: place, example } of parameters) {
    if (place === 'path') url = url.replace(`{${name}}`, encodeURIComponent(String(example)))
    if (place === 'query' && example !== undefined) {
      for (const value of [example].flat()) query.append(name, String(value))
    }
  }
  const body = requestBody?.content['application/json']?.example
  return {
    method: method.toUpperCase() as 'GET',
    url: `${url}?${query}`,
    ...(body !== undefined && { body: body as object }),
  }
}

/** What `$ref` points to, `value` itself where it is no reference. */
export function follow<T extends object>(document: Document, value: T | { $ref: string }): T {
  if (!('$ref' in value)) return value as T
  const [root, ...keys] = value.$ref.split('/')
  const found = keys.reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], document)
  if (root !== '#' || found === undefined) throw new Error(`${value.$ref} leads nowhere`)
  return found as T
}

const ajv = new Ajv2020({ strict: false, allErrors: true })
addFormats.default(ajv)

/** In what `response` differs from what `document` tells of it; empty where it is as documented. */
export function differences(
  document: Document,
  { operation }: Listed,
  response: LightMyRequestResponse,
): string[] {
  const stated = operation.responses[response.statusCode]
  if (!stated) return [`the status ${response.statusCode} is not documented`]
  const { headers = {}, content } = follow<ResponseObject>(document, stated)
  const missing = Object.keys(headers).filter((name) => !response.headers[name.toLowerCase()])
  const problems = missing.map((name) => `the header ${name} is missing`)
  const [type = 'none'] = String(response.headers['content-type'] ?? 'none').split(';')
  if (type !== (Object.keys(content ?? {})[0] ?? 'none')) problems.push(`the type is ${type}`)
  const media = content?.[type]
  return media ? [...problems, ...misfits(document, media, response.json())] : problems
}

// Closed: a field that the document does not tell of is a difference, too.
function misfits(document: Document, { schema }: MediaType, body: unknown): string[] {
  const closed = closeSchema(follow<JsonSchema>(document, schema as { $ref: string }) as never)
  return ajv.validate(closed, body) ? [] : [ajv.errorsText()]
}
