import type { AnyDefined } from '../resource/contract.ts'
import type { Header, Parameter } from './types.ts'

type Definition = AnyDefined['definition']

/** Whether requests for it may have conditions (RFC 9110, 13). */
export function isConditional({ etag, lastModified }: Definition): boolean {
  return etag !== undefined || lastModified !== undefined
}

/** Whether it only reads: then it sends validators, and a condition may be answered with 304. */
export function isSafe({ method = 'GET' }: Definition): boolean {
  return method === 'GET'
}

/** The request headers that hold conditions. */
export function conditionParameters(definition: Definition): Parameter[] {
  const { etag, lastModified } = definition
  return [
    ...(etag ? [parameter('If-Match', 'Only if it has one of these entity tags')] : []),
    ...(etag ? [parameter('If-None-Match', 'Only if it has none of these entity tags')] : []),
    ...(lastModified
      ? [parameter('If-Unmodified-Since', 'Only if it has not changed since this HTTP date')]
      : []),
    ...(lastModified && isSafe(definition)
      ? [parameter('If-Modified-Since', 'Only if it has changed since this HTTP date')]
      : []),
  ]
}

function parameter(name: string, description: string): Parameter {
  return { name, in: 'header', description, schema: { type: 'string' } }
}

/** The response headers that describe the state of what was read. */
export function validatorHeaders({ etag, lastModified }: Definition): Record<string, Header> {
  return {
    ...(etag && { ETag: header('The entity tag of what was read') }),
    ...(lastModified && { 'Last-Modified': header('When it was last changed, an HTTP date') }),
    'Cache-Control': header('That it must be asked for again each time'),
  }
}

function header(description: string): Header {
  return { description, schema: { type: 'string' } }
}
