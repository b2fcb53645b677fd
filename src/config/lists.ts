import type { TObject } from 'typebox'
import type { RawValues } from './derive.ts'
import { type VariableSchema, variablesOf } from './secret.ts'

/** What a variable is whose value is a list: the schema of each item; undefined where it is none. */
export function itemsOf(variable: VariableSchema): VariableSchema | undefined {
  if (variable.type !== 'array') return undefined
  return (variable as { items?: VariableSchema }).items ?? ({} as VariableSchema)
}

/** A copy of `values` in which those of lists are divided at their commas; what is blank between two of them is no item. */
export function splitLists(schema: TObject, values: RawValues): Record<string, unknown> {
  const split: Record<string, unknown> = { ...values }
  for (const [name, variable] of variablesOf(schema)) {
    const text = values[name]
    if (text === undefined || !itemsOf(variable)) continue
    split[name] = text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '')
  }
  return split
}
