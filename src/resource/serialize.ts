import { createHash } from 'node:crypto'
import fastJson, { type Schema } from 'fast-json-stringify'
import type { FastifyInstance } from 'fastify'
import type { AnyDefined } from './contract.ts'
import { closeSchema, type JsonSchema, mapSchema } from './schema.ts'

/** Schemas that others may refer to, by their `$id`. */
export type SharedSchemas = Record<string, Schema>

/**
 * Compiles the function that writes an answer as JSON and leaves out what `schema` does not list.
 */
export function compileSerializer(
  schema: JsonSchema,
  shared: SharedSchemas,
): (data: unknown) => string {
  return fastJson(mapSchema(schema, sortUnion) as Schema, { schema: shared })
}

// The first member of a union that fits is the one that is written, and an object fits although it has more
// properties: asked first are the members that list all it has, as in the check of responses.
function sortUnion(part: JsonSchema): JsonSchema {
  const key = part.anyOf ? 'anyOf' : 'oneOf'
  const { [key]: members, ...rest } = part as JsonSchema & { [key]?: JsonSchema[] }
  if (!members) return part
  const [only, ...others] = members.filter(({ type }) => type !== 'null')
  const nullable = others.length === 0 && members.length > 1
  // Not a union, whose values are not converted: a bigint would be no integer.
  if (nullable && typeof only?.type === 'string') return { ...rest, ...only, nullable }
  return { ...rest, anyOf: [...members.filter(isStructured).map(closeSchema), ...members] }
}

function isStructured({ type }: JsonSchema): boolean {
  return type === undefined || type === 'object' || type === 'array'
}

interface Writer {
  write: (data: unknown) => string
  fingerprint: string
}

const writers = new WeakMap<AnyDefined, Writer>()

function writerOf(resource: AnyDefined, app: FastifyInstance): Writer {
  let writer = writers.get(resource)
  if (!writer) {
    const schema = resource.response as JsonSchema
    const hash = createHash('sha256').update(JSON.stringify(schema))
    writer = {
      write: compileSerializer(schema, app.getSchemas() as SharedSchemas),
      fingerprint: hash.digest('base64url').slice(0, 6),
    }
    writers.set(resource, writer)
  }
  return writer
}

/** A response as JSON, without what its schema does not list. */
export function toText(app: FastifyInstance, resource: AnyDefined, response: unknown): string {
  return writerOf(resource, app).write(response ?? null)
}

/** Six characters that change with the response schema. */
export function fingerprint(app: FastifyInstance, resource: AnyDefined): string {
  return writerOf(resource, app).fingerprint
}
