import { itemsOf } from './lists.ts'
import type { VariableSchema } from './secret.ts'

interface Described extends VariableSchema {
  const?: unknown
  enum?: readonly unknown[]
  anyOf?: readonly Described[]
  format?: string
  pattern?: string
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
  multipleOf?: number
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
  uniqueItems?: boolean
}

/** What a value of the variable must be, in words: `an integer from 1 to 65535`. */
export function describeExpected(variable: VariableSchema): string {
  const schema: Described = variable
  if (schema.expected !== undefined) return schema.expected
  if (schema.enum !== undefined) return oneOf(schema.enum.map(String))
  if (schema.const !== undefined) return String(schema.const)
  if (schema.anyOf !== undefined) return oneOf([...new Set(schema.anyOf.map(describeExpected))])
  if (schema.type === 'boolean') return 'true or false'
  if (schema.type === 'integer') return `an integer${describeBounds(schema)}`
  if (schema.type === 'number') return `a number${describeBounds(schema)}`
  if (schema.type === 'string') return describeText(schema)
  const items = itemsOf(schema)
  if (items) return describeList(schema, describeExpected(items))
  return schema.type === undefined ? 'a value' : `a value of type ${schema.type}`
}

function describeList(
  { minItems: from, maxItems: to, uniqueItems }: Described,
  item: string,
): string {
  const words = [
    `a list with commas between its items, each ${item}`,
    from !== undefined && to !== undefined && `, ${from} to ${to} of them`,
    from !== undefined && to === undefined && `, at least ${from}`,
    from === undefined && to !== undefined && `, at most ${to}`,
    uniqueItems === true && ', no two of them equal',
  ]
  return words.filter(Boolean).join('')
}

function oneOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

function describeBounds(schema: Described): string {
  const { minimum: from, maximum: to, exclusiveMinimum: above, exclusiveMaximum: below } = schema
  const range = from !== undefined && to !== undefined
  const words = [
    range && ` from ${from} to ${to}`,
    !range && from !== undefined && ` of at least ${from}`,
    !range && to !== undefined && ` of at most ${to}`,
    above !== undefined && ` above ${above}`,
    below !== undefined && ` below ${below}`,
    schema.multipleOf !== undefined && ` that is a multiple of ${schema.multipleOf}`,
  ]
  return words.filter(Boolean).join('')
}

function describeText({ format, pattern, minLength = 0, maxLength }: Described): string {
  const words = [
    format === undefined ? 'text' : format === 'uri' ? 'a URL' : `text in the format ${format}`,
    maxLength !== undefined && ` of ${minLength} to ${maxLength} characters`,
    maxLength === undefined && minLength > 1 && ` of at least ${minLength} characters`,
    pattern !== undefined && ` that matches ${pattern}`,
  ]
  return words.filter(Boolean).join('')
}
