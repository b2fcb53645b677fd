import type { JsonSchema } from '../schema/json-schema.ts'

/** The parts of an OpenAPI 3.1 document that are made or changed here. */
export interface Document {
  openapi: string
  info: DocumentInfo
  tags?: { name: string }[]
  components: { schemas: Record<string, JsonSchema> } & Record<string, object>
  paths: Record<string, Record<string, Operation>>
}

/** What a document says of the service as a whole; the description is Markdown. */
export interface DocumentInfo {
  title: string
  version: string
  description?: string
}

export interface Operation {
  operationId?: string
  parameters?: Parameter[]
  requestBody?: { required?: boolean; content: Record<string, MediaType> }
  responses: Record<string, ResponseObject | SharedResponse>
}

export interface Parameter {
  name: string
  in: 'path' | 'query' | 'header' | 'cookie'
  description?: string
  schema: JsonSchema
  example?: unknown
}

export interface MediaType {
  schema: JsonSchema
  example?: unknown
  /** Of the parts of a form, by their names. */
  encoding?: Record<string, { contentType: string }>
  /** Several, by names. */
  examples?: Record<string, { value: unknown }>
}

export interface Header {
  description: string
  schema: JsonSchema
}

export interface ResponseObject {
  description: string
  headers?: Record<string, Header | { $ref: string }>
  content?: Record<string, MediaType>
}

export interface SharedResponse {
  $ref: string
}
