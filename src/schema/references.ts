import { errors } from '../errors.ts'
import {
  EVERY_PART,
  type JsonSchema,
  mapParts,
  nameOf,
  partsOf,
  referenceTo,
} from './json-schema.ts'

/** Schemas that others may refer to, by their `$id`: those of `app.addSchema`. */
export type SharedSchemas = Readonly<Record<string, JsonSchema>>

/**
 * A copy of `schema` that is complete in itself, wherever it is put: what it refers to (schemas of `shared`, its own
 * `$defs`, itself) is in its `$defs`, each reference is `#/$defs/NAME`, and no part has an `$id` any more. One that refers to
 * nothing stays as it is.
 *
 * @param name of the resource that it is a schema of
 * @throws {PlinthError} RESOURCE_INVALID for what is not there, and where a value would be held against the same schema for ever
 */
export function completeSchema(
  schema: JsonSchema,
  shared: SharedSchemas,
  name: string,
): JsonSchema {
  const definitions = new Definitions(shared, name)
  const root = definitions.complete(schema, [])
  const $defs = definitions.assertFinite()
  return unfold(Object.keys($defs).length > 0 ? { ...root, $defs } : root)
}

/** `schema`, or what it refers to as a whole, so that it is seen what it is. */
export function unfold({ $ref, ...schema }: JsonSchema, root: JsonSchema = schema): JsonSchema {
  if (typeof $ref !== 'string') return schema
  const { $defs } = root as { $defs: Record<string, JsonSchema> }
  return unfold({ ...$defs[nameOf($ref)], ...schema }, root)
}

/** Those that look at the same value as the schema that they are a part of. */
const IN_PLACE = partsOf(
  ['allOf', 'anyOf', 'oneOf'],
  ['not', 'if', 'then', 'else'],
  ['dependentSchemas'],
)

/** What may stand beside `$ref` and says nothing of the value; all else is another schema that has to hold, too. */
const ANNOTATIONS = ['title', 'description', 'default', 'examples', 'deprecated', '$comment']

/** The schemas around a place, the outermost first. */
type Scope = readonly JsonSchema[]

/** A schema that is referred to, and those around it. */
interface Target {
  schema: JsonSchema
  around: Scope
  name: string
}

class Definitions {
  readonly #shared: SharedSchemas
  readonly #resource: string
  readonly #names = new Map<JsonSchema, string>()
  readonly #made: Record<string, JsonSchema> = {}

  constructor(shared: SharedSchemas, resource: string) {
    this.#shared = shared
    this.#resource = resource
  }

  complete(schema: JsonSchema, around: Scope): JsonSchema {
    const scope = [...around, schema]
    const { $id: _, $defs: __, definitions: ___, ...rest } = schema
    const { $ref, ...copy } = mapParts(rest, EVERY_PART, (part) => this.complete(part, scope))
    if ($ref === undefined) return copy
    const target = this.#find(schema, String($ref), scope)
    const reference = { $ref: referenceTo(this.#add(target)) }
    if (!Object.keys(copy).every((key) => ANNOTATIONS.includes(key)))
      return { allOf: [reference, copy] }
    // Validators look for defaults beside the reference.
    const { default: initial } = target.schema
    return { ...(initial !== undefined && { default: initial }), ...copy, ...reference }
  }

  #add({ schema, around, name }: Target): string {
    const known = this.#names.get(schema)
    if (known !== undefined) return known
    const wanted = name.replaceAll(/[^\w.-]+/g, '_') || 'Self'
    let own = wanted
    for (let i = 2; Object.hasOwn(this.#made, own); i++) own = `${wanted}${i}`
    this.#names.set(schema, own)
    // Its name is taken before those that it refers to take theirs.
    this.#made[own] = {}
    this.#made[own] = this.complete(schema, around)
    return own
  }

  #find(from: JsonSchema, reference: string, scope: Scope): Target {
    const [id = '', fragment = ''] = reference.split('#', 2)
    const found = id === '' ? documentOf(from, scope) : (named(id, scope) ?? this.#sharedOne(id))
    const target =
      (found && follow(found, fragment)) ?? (id === '' ? within(scope, fragment) : undefined)
    if (target) return target
    const ids = Object.keys(this.#shared).join(', ') || 'none'
    const problem = `it refers to ${reference}, which is neither in its $defs nor added by app.addSchema (there: ${ids})`
    throw errors.RESOURCE_INVALID(this.#resource, problem)
  }

  #sharedOne(id: string): Target | undefined {
    const schema = Object.hasOwn(this.#shared, id) ? this.#shared[id] : undefined
    return schema && { schema, around: [], name: id }
  }

  /** What was made. @throws {PlinthError} RESOURCE_INVALID where a schema leads back to itself without a step into the value */
  assertFinite(): Record<string, JsonSchema> {
    const done = new Set<string>()
    const visit = (name: string, way: readonly string[]) => {
      if (way.includes(name)) {
        const loop = [...way.slice(way.indexOf(name)), name].join(' → ')
        throw errors.RESOURCE_INVALID(
          this.#resource,
          `a schema of it refers to itself for ever: ${loop}`,
        )
      }
      if (done.has(name)) return
      for (const next of referredTo(this.#made[name] as JsonSchema)) visit(next, [...way, name])
      done.add(name)
    }
    for (const name of Object.keys(this.#made)) visit(name, [])
    return this.#made
  }
}

/** What `#` means to `from`: the document, and for `Type.This()` the object that it stands in, as its type says. */
function documentOf(from: JsonSchema, scope: Scope): Target {
  const at = scope.findLastIndex((schema) =>
    from['~kind'] === 'This' ? schema['~kind'] === 'Object' : schema.$id !== undefined,
  )
  const start = Math.max(0, at)
  const schema = scope[start] as JsonSchema
  return { schema, around: scope.slice(0, start), name: String(schema.$id ?? '') }
}

/** What a pointer means to a schema that has `$defs` of its own and was put into another. */
function within(scope: Scope, pointer: string): Target | undefined {
  const at = scope.findLastIndex(({ $defs }) => $defs !== undefined)
  const schema = scope[at]
  return schema && follow({ schema, around: scope.slice(0, at), name: '' }, pointer)
}

/** The nearest schema around, or in the `$defs` of one, that is called `id`. */
function named(id: string, scope: Scope): Target | undefined {
  for (const [at, schema] of [...scope.entries()].reverse()) {
    if (schema.$id === id) return { schema, around: scope.slice(0, at), name: id }
    const { $defs = {} } = schema as { $defs?: Record<string, JsonSchema> }
    const found = Object.entries($defs).find(([key, one]) => key === id || one.$id === id)
    if (found) return { schema: found[1], around: scope.slice(0, at + 1), name: id }
  }
  return undefined
}

/** What a JSON pointer (RFC 6901) leads to. */
function follow(from: Target, pointer: string): Target | undefined {
  if (pointer === '') return from
  if (!pointer.startsWith('/')) return undefined
  let { schema, name } = from
  for (const token of pointer.slice(1).split('/')) {
    name = decodeURIComponent(token).replaceAll('~1', '/').replaceAll('~0', '~')
    const next = Object.hasOwn(schema, name) ? schema[name] : undefined
    if (typeof next !== 'object' || next === null) return undefined
    schema = next as JsonSchema
  }
  return { schema, around: [...from.around, from.schema], name }
}

/** The names of what `schema` holds the value itself against. */
function referredTo(schema: JsonSchema): string[] {
  const names = typeof schema.$ref === 'string' ? [nameOf(schema.$ref)] : []
  mapParts(schema, IN_PLACE, (part) => {
    names.push(...referredTo(part))
    return part
  })
  return names
}
