import { isDeepStrictEqual } from 'node:util'
import Type, { type TObject, type TSchema } from 'typebox'
import { errors } from '../errors.ts'

/** Who declares variables: 'plinth', a plugin's or the service's name; and which. */
export interface ConfigOwner {
  owner: string
  /** Its properties and which of them are required count; other keywords of the object do not. */
  schema: TObject
}

export interface Joined {
  /** A new object: the caller's schemas are not changed by those that read with it. */
  schema: TObject
  /** The owner that declared a variable first, by name of the variable. */
  owners: Map<string, string>
}

/**
 * Joins the variables of all owners, in order. A variable may be declared twice when both schemas are equal.
 *
 * @throws {PlinthError} CONFIG_INVALID, with each variable that two owners declare differently
 */
export function joinOwners(owners: readonly ConfigOwner[]): Joined {
  const properties: Record<string, TSchema> = {}
  const required = new Set<string>()
  const declared = new Map<string, string>()
  const conflicts: string[] = []
  for (const { owner, schema } of owners) {
    for (const name of schema.required ?? []) required.add(name)
    for (const [name, variable] of Object.entries(schema.properties)) {
      const first = declared.get(name)
      if (first === undefined) {
        declared.set(name, owner)
        properties[name] = variable
      } else if (!isDeepStrictEqual(properties[name], variable)) {
        conflicts.push(
          `  ${name}: declared differently by ${first} and by ${owner}; rename one, or make them equal`,
        )
      }
    }
  }
  if (conflicts.length > 0) throw errors.CONFIG_INVALID(conflicts.join('\n'))
  return { schema: asObject(properties, required), owners: declared }
}

// Not Type.Object(): what is required is told by the owners' schemas, whoever made them.
export function asObject(
  properties: Record<string, TSchema>,
  required: ReadonlySet<string>,
): TObject {
  return {
    ...Type.Object({}, { additionalProperties: false }),
    properties,
    required: [...required],
  } as TObject
}
