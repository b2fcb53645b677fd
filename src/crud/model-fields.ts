import { type TObject, type TSchema, Type } from 'typebox'
import { copySchema } from '../database/model/schemas.ts'
import type { Model } from '../database/model/types.ts'
import { errors } from '../errors.ts'

/** Which columns of a model its clients see and say; default: all that are not filled in. */
export interface FieldLists<
  Hidden extends string = string,
  ReadOnly extends string = string,
  WriteOnly extends string = string,
> {
  /** In no answer, no request, and nothing that a list can be asked for. */
  hidden?: readonly Hidden[]
  /** In answers, and in no request: they stay as they are, and are in a new row what `fill` or their defaults say. */
  readOnly?: readonly ReadOnly[]
  /** In requests, and in no answer and nothing that a list can be asked for. */
  writeOnly?: readonly WriteOnly[]
}

/** What clients see and say of a model. */
export interface ModelFields {
  /** A row, as answers have it. */
  readonly shown: TObject
  readonly input: TObject
  readonly patch: TObject
  /** The columns that no client says. */
  readonly unsaid: readonly string[]
  /** The columns whose names no client is told. */
  readonly hidden: readonly string[]
  readonly writeOnly: readonly string[]
}

interface Given {
  lists: FieldLists
  /** Columns that others fill in. */
  filled: readonly string[]
  version: string | undefined
  /** Whether clients create rows. */
  creates: boolean
}

/** @throws {PlinthError} RESOURCE_INVALID where a list cannot be meant so */
export function fieldsOf(model: Model, { lists, filled, version, creates }: Given): ModelFields {
  const { hidden = [], readOnly = [], writeOnly = [] } = lists
  assertLists(model, { hidden, readOnly, writeOnly })
  const odd = filled.find((name) => !model.columns.includes(name) || writeOnly.includes(name))
  if (odd !== undefined)
    throw invalid(model, `fill has ${odd}, which is no column, or one that clients write`)
  const onlyRead = [...readOnly, ...filled, ...(version === undefined ? [] : [version])]
  const unsaid = [...hidden, ...onlyRead]
  const needed = [...hidden, ...readOnly].find((name) => {
    const said = model.input.properties[name]
    return said && !Type.IsOptional(said) && !filled.includes(name) && name !== version
  })
  if (creates && needed !== undefined)
    throw invalid(
      model,
      `a new row needs ${needed}, which no request may have: give it a default, or fill: { ${needed}: (context) => … }`,
    )
  const unseen = [...hidden, ...writeOnly]
  return {
    shown: without(model.schema, unseen, onlyRead, { readOnly: true }),
    input: without(model.input, unsaid, writeOnly, { writeOnly: true }),
    patch: without(model.patch, unsaid, writeOnly, { writeOnly: true }),
    unsaid,
    hidden,
    writeOnly,
  }
}

function assertLists(model: Model, lists: Readonly<Record<keyof FieldLists, readonly string[]>>) {
  const seen = new Map<string, string>()
  for (const [list, names] of Object.entries(lists)) {
    for (const name of names) {
      if (!model.columns.includes(name))
        throw invalid(model, `${list} names ${name}; there are ${model.columns.join(', ')}`)
      if (list !== 'readOnly' && model.state.primaryKey.includes(name))
        throw invalid(
          model,
          `${name} is in the primary key, which paths have; it cannot be ${list}`,
        )
      if (list === 'writeOnly' && !(name in model.input.properties))
        throw invalid(model, `${name} is filled in, and no client writes it; make it hidden`)
      const other = seen.get(name)
      if (other !== undefined)
        throw invalid(
          model,
          `${name} is ${other === list ? `${list} twice` : `both ${other} and ${list}`}`,
        )
      seen.set(name, list)
    }
  }
}

function invalid({ table }: Model, problem: string): Error {
  return errors.RESOURCE_INVALID(`of ${table}`, problem)
}

/** `schema` without some of its properties, and with a word more about others, for the API document. */
function without(
  schema: TObject,
  left: readonly string[],
  marked: readonly string[],
  word: Readonly<Record<string, unknown>>,
): TObject {
  if (left.length === 0 && marked.length === 0) return schema
  const entries = Object.entries(schema.properties as Record<string, TSchema>)
    .filter(([name]) => !left.includes(name))
    .map(([name, one]) => [name, marked.includes(name) ? copySchema(one, word) : one])
  return Type.Object(Object.fromEntries(entries))
}
