import type { JsonSchema } from '../schema/json-schema.ts'

/** What is random. */
export interface Source {
  /** Both ends included. */
  between(least: number, most: number): number
  pick<T>(all: readonly T[]): T
  instant(): Date
  uuid(): string
}

const WORDS =
  'amber birch cedar delta ember fjord grove haven indigo juniper kelp lantern meadow nectar opal prairie quartz river saffron tundra umber violet willow yarrow zephyr'.split(
    ' ',
  )

const FORMATS: Readonly<Record<string, (random: Source) => string>> = {
  'date-time': (random) => random.instant().toISOString(),
  date: (random) => random.instant().toISOString().slice(0, 10),
  time: (random) => random.instant().toISOString().slice(11),
  uuid: (random) => random.uuid(),
  email: (random) => `${random.pick(WORDS)}.${random.between(1, 99_999)}@example.com`,
  uri: (random) => `https://example.com/${random.pick(WORDS)}/${random.between(1, 99_999)}`,
  url: (random) => `https://example.com/${random.pick(WORDS)}/${random.between(1, 99_999)}`,
  hostname: (random) => `${random.pick(WORDS)}-${random.between(1, 99_999)}.example.com`,
  ipv4: (random) => `192.0.2.${random.between(1, 254)}`,
  ipv6: (random) => `2001:db8::${random.between(1, 9999)}`,
}

/** A text that fits a schema. @throws {TypeError} where it has a pattern for which none is found */
export function textOf(schema: JsonSchema, random: Source): string {
  const {
    format,
    pattern,
    minLength = 0,
    maxLength,
  } = schema as {
    format?: string
    pattern?: string
    minLength?: number
    maxLength?: number
  }
  const fits = (text: string) =>
    [...text].length >= minLength &&
    [...text].length <= (maxLength ?? Infinity) &&
    (pattern === undefined || new RegExp(pattern, 'u').test(text))
  if (pattern !== undefined) {
    for (let tries = 0; tries < 200; tries++) {
      const text = new Pattern(pattern, random).text()
      if (fits(text)) return text
    }
    throw unreadable(pattern)
  }
  const known = format === undefined ? undefined : FORMATS[format]
  if (known) return known(random)
  const most = maxLength ?? Math.max(minLength, 40)
  const length = random.between(
    Math.max(minLength, Math.min(1, most)),
    Math.min(most, Math.max(minLength, 24)),
  )
  let text = ''
  while (text.length < length) text += `${text === '' ? '' : ' '}${random.pick(WORDS)}`
  // A text ends with no space: what is compared by MySQL would not see it.
  return text.slice(0, length).replace(/ $/, 'x')
}

const unreadable = (pattern: string) =>
  new TypeError(`No text was found that fits the pattern ${pattern}: say the value`)

const SOME = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_.,:/@'

/** Reads a pattern, and writes a text for it: what people write of patterns, without lookarounds and references. */
class Pattern {
  readonly #source: string
  readonly #random: Source
  #at = 0

  constructor(source: string, random: Source) {
    this.#source = source
    this.#random = random
  }

  text(): string {
    this.#at = 0
    return this.#choice()
  }

  #choice(): string {
    const members = [this.#sequence()]
    while (this.#take(/\|/y)) members.push(this.#sequence())
    return this.#random.pick(members)
  }

  #sequence(): string {
    let text = ''
    while (this.#at < this.#source.length && !/[|)]/.test(this.#source[this.#at] as string))
      text += this.#quantified()
    return text
  }

  #quantified(): string {
    const start = this.#at
    const first = this.#atom()
    const end = this.#at
    const found = this.#take(/(?:([*+?])|\{(\d+)(,?)(\d*)\})\??/y)
    if (!found) return first
    const after = this.#at
    const [, sign, from = '', comma, to] = found
    const least = sign ? (sign === '+' ? 1 : 0) : Number(from)
    const most = sign === '?' ? 1 : sign || (comma && !to) ? least + 6 : Number(comma ? to : from)
    let text = ''
    for (let left = this.#random.between(least, Math.min(most, least + 8)); left > 0; left--) {
      this.#at = start
      text += this.#atom()
      if (this.#at !== end) throw unreadable(this.#source)
    }
    this.#at = after
    return text
  }

  #atom(): string {
    if (this.#take(/[\^$]|\\[bB]/y)) return ''
    if (this.#take(/\((?:\?(?:<[^>]*>|:))?(?!\?)/y)) {
      const inner = this.#choice()
      this.#take(/\)/y)
      return inner
    }
    if (this.#source[this.#at] === '(') throw unreadable(this.#source)
    const [source] = this.#take(
      /\[(?:\\.|[^\]\\])*\]|\\(?:[pP]\{[^}]*\}|u\{[^}]*\}|u[\da-fA-F]{4}|x[\da-fA-F]{2}|.)|./suy,
    ) as RegExpExecArray
    const one = new RegExp(`^${source}$`, 'u')
    const fitting = [...SOME, ...source].filter((character) => one.test(character))
    if (fitting.length === 0) throw unreadable(this.#source)
    return this.#random.pick(fitting)
  }

  #take(expected: RegExp): RegExpExecArray | null {
    expected.lastIndex = this.#at
    const found = expected.exec(this.#source)
    if (found) this.#at = expected.lastIndex
    return found
  }
}
