type Json = Record<string, unknown>

/** An example of each schema of a document, with as many of its properties as there is room for. */
export class Samples {
  readonly #root: Json

  constructor(root: Json) {
    this.#root = root
  }

  /** What `value` is, or refers to. */
  resolve(value: unknown): Json {
    let found = value as Json
    while (typeof found?.$ref === 'string') {
      const tokens = found.$ref.slice(2).split('/')
      found = tokens.reduce(
        (at, token) =>
          at[decodeURIComponent(token).replaceAll('~1', '/').replaceAll('~0', '~')] as Json,
        this.#root,
      )
    }
    return found
  }

  /** @param depth how deep it may have more than it must */
  of(given: unknown, depth = 4): unknown {
    if (given === undefined || given === true) return {}
    const schema = this.resolve(given)
    if (depth < -30) throw new Error('an endless schema')
    if ('const' in schema) return schema.const
    if (Array.isArray(schema.enum)) return schema.enum.find((one) => one !== null) ?? null
    const parts = [schema.allOf ?? [], firstOf(schema.anyOf), firstOf(schema.oneOf)].flat()
    const type = [schema.type].flat().find((one) => one !== 'null') ?? typeFrom(schema)
    if (parts.length > 0) {
      const all = parts.map((part) => this.of(part, depth))
      if (type !== undefined && type !== 'object' && !isObject(all[0])) return all[0]
      const own = type === 'object' || schema.required ? [this.#object(schema, depth)] : []
      // The own ones last: a member may only say which of them have to be there.
      const objects = [...all, ...own].filter(isObject)
      return objects.length > 0 ? Object.assign({}, ...objects) : all[0]
    }
    switch (type) {
      case 'string':
        return textOf(schema)
      case 'integer':
      case 'number':
        return numberOf(schema)
      case 'boolean':
        return true
      case 'array':
        return this.#list(schema, depth)
      case 'object':
        return this.#object(schema, depth)
      default:
        return schema.required ? this.#object(schema, depth) : null
    }
  }

  #list({ items, minItems = 0 }: Json, depth: number): unknown[] {
    const count = Math.max(Number(minItems), depth > 0 ? 1 : 0)
    return Array.from({ length: count }, () => this.of(items, depth - 1))
  }

  #object({ properties = {}, required = [], additionalProperties }: Json, depth: number): Json {
    const names = required as string[]
    const wanted = Object.entries(properties as Json).filter(
      ([name]) => !(name in Object.prototype) && (depth > 0 || names.includes(name)),
    )
    const found = wanted.map(([name, one]) => [name, this.of(one, depth - 1)])
    if (typeof additionalProperties === 'object' && depth > 0)
      found.push(['more', this.of(additionalProperties, depth - 1)])
    for (const name of names)
      if (!wanted.some(([one]) => one === name)) found.push([name, 'required'])
    return Object.fromEntries(found)
  }
}

function firstOf(list: unknown): unknown[] {
  return Array.isArray(list) ? list.slice(0, 1) : []
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function typeFrom({ properties, items }: Json): string | undefined {
  if (properties) return 'object'
  return items ? 'array' : undefined
}

const TEXTS: Readonly<Record<string, string>> = {
  'date-time': '2024-02-03T04:05:06Z',
  date: '2024-02-03',
  time: '04:05:06Z',
  uri: 'https://example.com/a%20b?c=d',
  'uri-template': 'https://example.com/{a}',
  email: 'a@example.com',
  uuid: '0190b5f0-0000-7000-8000-000000000000',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
  hostname: 'example.com',
}

function textOf({ format, pattern, minLength = 0, maxLength, example }: Json): string {
  if (typeof pattern === 'string') return matching(pattern, example)
  const text = TEXTS[String(format)] ?? 'ä & b/c?d'
  const least = text.padEnd(Number(minLength), 'x')
  return maxLength === undefined ? least : least.slice(0, Number(maxLength))
}

function matching(pattern: string, example: unknown): string {
  const literal = pattern.replaceAll(/^\^|\$$/g, '')
  const zeros = '0'.repeat(64)
  const tries = [
    String(example),
    'a',
    zeros.slice(24),
    `sha256:${zeros}`,
    '1.2.3',
    'refs/heads/main',
    'ssh-rsa AAAA',
    literal,
  ]
  return tries.find((text) => isMatch(pattern, text)) ?? literal
}

function isMatch(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern, 'u').test(text)
  } catch {
    return true
  }
}

function numberOf({ minimum = 1, maximum, exclusiveMinimum, type }: Json): number {
  const low = typeof exclusiveMinimum === 'number' ? exclusiveMinimum + 1 : Number(minimum)
  const least = exclusiveMinimum === true ? low + 1 : low
  const number = maximum === undefined ? least : Math.min(least, Number(maximum))
  return type === 'integer' ? Math.ceil(number) : number
}
