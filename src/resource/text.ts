import { createHash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { AnyResource } from './resource.ts'
import type { JsonSchema } from './schema.ts'
import { compileSerializer, type SharedSchemas } from './serialize.ts'

interface Writer {
  write: (data: unknown) => string
  fingerprint: string
}

const writers = new WeakMap<AnyResource, Writer>()

function writerOf(resource: AnyResource, app: FastifyInstance): Writer {
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
export function toText(app: FastifyInstance, resource: AnyResource, response: unknown): string {
  return writerOf(resource, app).write(response ?? null)
}

/** Six characters that change with the response schema. */
export function fingerprint(app: FastifyInstance, resource: AnyResource): string {
  return writerOf(resource, app).fingerprint
}
