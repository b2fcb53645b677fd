import { isJson, type Json, type OpenApiDocument, resolve } from './document.ts'
import { camelCase, Names, RESERVED } from './names.ts'

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
