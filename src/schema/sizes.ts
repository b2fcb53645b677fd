import type { CodeKeywordDefinition, KeywordCxt } from 'ajv'
import type { Ajv2019 } from 'ajv/dist/2019.js'
import type ucs2length from 'ajv/dist/runtime/ucs2length.js'
import { canonicalKey } from '../cache/key.ts'
import { loadNow } from '../packages.ts'
import { type JsonSchema, mapSchema } from './json-schema.ts'

/** The keywords that say how large a value may be, and those that may take long where it is larger. */
const COSTLY: Readonly<Record<string, readonly string[]>> = {
  maxLength: ['pattern', 'format'],
  maxItems: ['uniqueItems', 'items', 'additionalItems', 'contains', 'unevaluatedItems'],
  maxProperties: [
    'properties',
    'patternProperties',
    'additionalProperties',
    'propertyNames',
    'dependentSchemas',
    'unevaluatedProperties',
  ],
}

/**
 * Makes `ajv`, which collects all errors, leave a value alone that is larger than it may be: else its size would be
 * told only after each of its items, or all of a pattern, had been looked at. `uniqueItems` takes one look at each item.
 */
export function checkSizesFirst(ajv: Ajv2019): void {
  ajv.addVocabulary([SIZES])
  const unique = definitionOf(ajv, 'uniqueItems')
  unique.code = checkUnique
  for (const [size, keywords] of Object.entries(COSTLY)) {
    for (const keyword of keywords) guard(definitionOf(ajv, keyword), size)
  }
}

// Each Ajv has definitions of its own.
function definitionOf(ajv: Ajv2019, keyword: string): CodeKeywordDefinition {
  return ajv.getKeyword(keyword) as CodeKeywordDefinition
}

function guard(definition: CodeKeywordDefinition, size: string): void {
  const { code } = definition
  definition.code = (cxt, ruleType) => {
    const { [SIZES]: shared = {}, [size]: own } = cxt.parentSchema as SizedSchema
    const most = shared[size] ?? own
    // Where the first error ends it (`if`, `not`), sizes come first as it is.
    if (typeof most !== 'number' || !cxt.allErrors) code(cxt, ruleType)
    else cxt.gen.if(fits(cxt, size, most), () => code(cxt, ruleType))
  }
}

/** How Ajv writes code. What calls these is Ajv: it is loaded. */
const writer = () => loadNow('ajv/dist/2019.js') as typeof import('ajv/dist/2019.js')

function fits({ gen, data }: KeywordCxt, size: string, most: number) {
  const { _ } = writer()
  if (size === 'maxItems') return _`${data}.length <= ${most}`
  if (size === 'maxProperties') return _`Object.keys(${data}).length <= ${most}`
  const { default: ref } = loadNow('ajv/dist/runtime/ucs2length.js') as typeof ucs2length
  const count = gen.scopeValue('func', { ref })
  return _`(${data}.length <= ${most} || ${count}(${data}) <= ${most})`
}

function checkUnique(cxt: KeywordCxt): void {
  const { gen, data, schema } = cxt
  if (!schema) return
  const { _ } = writer()
  const find = gen.scopeValue('func', { ref: findTwice })
  const pair = gen.const('twice', _`${find}(${data})`)
  cxt.setParams({ i: _`${pair}[0]`, j: _`${pair}[1]` })
  cxt.fail(_`${pair} !== undefined`)
}

/** The places of two equal items. */
function findTwice(items: readonly unknown[]): [number, number] | undefined {
  const scalars = new Map<unknown, number>()
  const objects = new Map<string, number>()
  for (const [index, item] of items.entries()) {
    const key = keyOf(item)
    const before = key === undefined ? scalars.get(item) : objects.get(key)
    if (before !== undefined) return [before, index]
    if (key === undefined) scalars.set(item, index)
    else objects.set(key, index)
  }
  return undefined
}

/** A text that is the same for equal lists and objects; undefined: only the item itself is equal to it. */
function keyOf(item: unknown): string | undefined {
  if (typeof item !== 'object' || item === null) return undefined
  try {
    return canonicalKey(item)
  } catch {
    // It has something that is no data, in process, or is nested hundreds of times.
    return undefined
  }
}

/** Where a member of an intersection finds the sizes of the whole. */
const SIZES = 'x-sizes'

interface SizedSchema extends JsonSchema {
  [SIZES]?: Record<string, number>
}

/** A copy of `schema` in which the members of an intersection know its sizes: one may be costly, another bound it. */
export function shareSizes(schema: JsonSchema): JsonSchema {
  return mapSchema(schema, (part) => {
    if (!Array.isArray(part.allOf)) return part
    const sizes = Object.fromEntries(
      Object.keys(COSTLY).flatMap((size) => {
        const all = [part, ...(part.allOf as JsonSchema[])].map((one) => one[size])
        const most = Math.min(...all.filter((one) => typeof one === 'number'))
        return Number.isFinite(most) ? [[size, most]] : []
      }),
    )
    return { ...part, allOf: part.allOf.map((one) => ({ ...one, [SIZES]: sizes })) }
  })
}
