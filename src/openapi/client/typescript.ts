import { type JsonSchema, nameOf } from '../../schema/json-schema.ts'
import { propertyName } from './names.ts'

/** A schema as a type: `{ id: string; name?: string | null }`. What a type cannot say it does not say. */
export function typeOf(schema: JsonSchema, indent = ''): string {
  const { $ref, type, items, anyOf, allOf } = schema as Keywords
  if ($ref !== undefined) return nameOf($ref)
  const special = SPECIAL[String(schema['x-plinth'])]
  if (special !== undefined) return special
  if (anyOf) return unionOf(anyOf.map((one) => typeOf(one, indent)))
  if (allOf) return intersectionOf(allOf.map((one) => typeOf(one, indent)))
  if ('const' in schema) return literalOf(schema.const)
  if (Array.isArray(schema.enum)) return unionOf(schema.enum.map(literalOf))
  switch (type) {
    case 'integer':
    case 'number':
      return 'number'
    case 'array':
      return listOf(schema, items, indent)
    case 'object':
      return objectOf(schema, indent)
    case 'string':
    case 'boolean':
    case 'null':
      return type
    default:
      return 'unknown'
  }
}

const SPECIAL: Readonly<Record<string, string>> = {
  file: 'FileValue',
  part: 'string | FileValue',
  stream: 'ByteAnswer',
}

interface Keywords {
  $ref?: string
  type?: string
  items?: JsonSchema | JsonSchema[]
  anyOf?: JsonSchema[]
  allOf?: JsonSchema[]
}

/** Whether it is written as an interface. */
export function isInterface(schema: JsonSchema): boolean {
  return schema.type === 'object' && !NO_INTERFACE.some((key) => key in schema)
}

const NO_INTERFACE = ['$ref', 'anyOf', 'allOf', 'const', 'enum', 'x-plinth']

/** An intersection, without what says nothing. */
export function intersectionOf(types: readonly string[]): string {
  const some = [...new Set(types)].filter((type) => type !== 'unknown')
  if (some.length <= 1) return some[0] ?? 'unknown'
  return some.map((type) => (isUnion(type) ? `(${type})` : type)).join(' & ')
}

function unionOf(types: readonly string[]): string {
  return types.includes('unknown') ? 'unknown' : [...new Set(types)].join(' | ')
}

// Those of other types within brackets count, too: too many parentheses do no harm.
function isUnion(type: string): boolean {
  return type.includes(' | ')
}

function literalOf(value: unknown): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return JSON.stringify(value)
  return Number.isFinite(value) ? String(value) : 'unknown'
}

function listOf({ additionalItems }: JsonSchema, items: Keywords['items'], indent: string): string {
  if (!Array.isArray(items)) {
    const item = items ? typeOf(items, indent) : 'unknown'
    return /[ &|]/.test(item) ? `(${item})[]` : `${item}[]`
  }
  const rest =
    typeof additionalItems === 'object' ? typeOf(additionalItems as JsonSchema, indent) : 'unknown'
  // Fewer items than there are schemas do fit.
  const first = items.map((one) => `(${typeOf(one, indent)})?`)
  return `[${[...first, `...(${rest})[]`].join(', ')}]`
}

/** The members of an object, in braces. */
export function objectOf(schema: JsonSchema, indent = ''): string {
  const { properties = {}, required = [], patternProperties } = schema
  const entries = Object.entries(properties)
  const others = othersOf(schema, entries.length > 0 || patternProperties !== undefined, indent)
  if (entries.length === 0) return others === undefined ? '{}' : `{ ${others} }`
  const inner = `${indent}  `
  const lines = entries.flatMap(([name, one]) => {
    const optional = required.includes(name) ? '' : '?'
    const text = `${propertyName(name)}${optional}: ${typeOf(one, inner)}`
    return [...commentOf(one, inner), inner + text]
  })
  if (others !== undefined) lines.push(inner + others)
  return `{\n${lines.join('\n')}\n${indent}}`
}

/** What an object has beside what it lists. */
function othersOf(schema: JsonSchema, lists: boolean, indent: string): string | undefined {
  const { additionalProperties, patternProperties } = schema
  if (additionalProperties === false) return '[key: string]: never'
  if (lists) {
    // The type of all would have to take those of the listed ones, too.
    const isOpen = additionalProperties !== undefined || patternProperties !== undefined
    return isOpen ? '[key: string]: unknown' : undefined
  }
  const isSchema = typeof additionalProperties === 'object' && additionalProperties !== null
  const type = isSchema ? typeOf(additionalProperties as JsonSchema, indent) : 'unknown'
  return `[key: string]: ${type}`
}

const LONGEST = 300

/** The lines of a comment above what `schema` describes; none, where it says nothing. */
export function commentOf(
  { description, deprecated, default: initial, title }: JsonSchema,
  indent = '',
): string[] {
  const lines: string[] = []
  for (const text of [title, description]) lines.push(...linesOf(text))
  if (initial !== undefined && initial !== null && typeof initial !== 'object')
    lines.push(`Default: ${linesOf(JSON.stringify(initial))[0] ?? ''}`)
  if (deprecated === true) lines.push('@deprecated')
  const [only, ...more] = lines
  if (only === undefined) return []
  if (more.length === 0) return [`${indent}/** ${only} */`]
  return [`${indent}/**`, ...lines.map((line) => `${indent} * ${line}`), `${indent} */`]
}

/** The first paragraph of a text, as it can stand in a comment. */
function linesOf(text: unknown): string[] {
  if (typeof text !== 'string') return []
  const [paragraph = ''] = text.trim().split(/\r?\n\s*\r?\n/, 1)
  const cut =
    paragraph.length > LONGEST ? `${paragraph.slice(0, LONGEST).toWellFormed()}…` : paragraph
  return cut
    .split(/[\r\n\u2028\u2029]+/)
    .map(inComment)
    .filter((line) => line !== '')
}

/** One line of a text that nobody vouches for: it ends no comment, and turns no text around. */
export function inComment(line: string): string {
  return line
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .replaceAll('*/', '*\\/')
    .trim()
}

/** A text as it can stand in code. */
export function inText(text: string): string {
  const quoted = JSON.stringify(text)
  return /['\\]/.test(quoted) ? quoted : `'${quoted.slice(1, -1)}'`
}
