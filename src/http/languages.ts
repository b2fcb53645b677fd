import { format } from 'node:util'
import type { FastifyRequest } from 'fastify'
import { ARGUMENTS, inOtherWords, type PlinthError } from '../errors.ts'

/** What errors are called in a language. */
export interface Language {
  /** The messages of errors by their codes, `%s` for what fills them, as many as the error has and in their order. */
  readonly messages?: Readonly<Record<string, string>>
  /**
   * What messages are filled with, and what `errors` say of a place, by the English text; `%s` is whatever stands there: `must be one of
   * %s`. Where several fit, the first counts.
   */
  readonly phrases?: Readonly<Record<string, string>>
}

/** A language, or a function that imports it, as a default export: read when the first client wants it. */
export type GivenLanguage = Language | (() => Promise<Language | { readonly default: Language }>)

/** The language that all errors are written in. */
const ENGLISH = 'en'

/** The languages that errors are told in; which one, clients say. */
export class Languages {
  readonly #given = new Map<string, GivenLanguage[]>([[ENGLISH, []]])
  readonly #loaded = new Map<string, Wording | Promise<Wording>>()
  readonly #cookie: RegExp

  /** @param cookie the name of the one that comes before `Accept-Language` */
  constructor(tables: readonly Readonly<Record<string, GivenLanguage>>[], cookie: string) {
    for (const table of tables)
      for (const [tag, language] of Object.entries(table))
        this.#given.set(tag, [...(this.#given.get(tag) ?? []), language])
    this.#cookie = new RegExp(`(?:^|;)\\s*${cookie.replaceAll(/[.+*?^$|]/g, '\\$&')}="?([\\w-]+)`)
  }

  /** The tag of the language that a request asks for; `en` where it asks for none that there is. */
  choose({ headers }: Pick<FastifyRequest, 'headers'>): string {
    const { cookie = '', 'accept-language': accept = '' } = headers
    const wanted = [this.#cookie.exec(cookie)?.[1] ?? '', ...preferred(accept)]
    for (const one of wanted) {
      const found = one && this.#lookUp(one.toLowerCase().replaceAll('_', '-'))
      if (found) return found
    }
    return ENGLISH
  }

  /** How errors are told in one of these languages, undefined: as they are; a promise where it has to be read first. */
  in(tag: string): Wording | Promise<Wording> | undefined {
    const given = this.#given.get(tag) ?? []
    if (given.length === 0) return undefined
    const loaded = this.#loaded.get(tag) ?? this.#load(tag, given)
    this.#loaded.set(tag, loaded)
    return loaded
  }

  async #load(tag: string, given: readonly GivenLanguage[]): Promise<Wording> {
    const tables: Language[] = []
    for (const one of given) {
      const read = typeof one === 'function' ? await one() : one
      tables.push('default' in read ? read.default : read)
    }
    const wording = new Wording(tables)
    this.#loaded.set(tag, wording)
    return wording
  }

  /** As RFC 4647, 3.4, and at last any of the same language: `zh-hans` and `zh` are `zh-CN`. */
  #lookUp(wanted: string): string | undefined {
    const tags = [...this.#given.keys()]
    const subtags = wanted.split('-')
    for (let length = subtags.length; length > 0; length--) {
      const range = subtags.slice(0, length).join('-')
      const found = tags.find((tag) => tag.toLowerCase() === range)
      if (found) return found
    }
    return tags.find((tag) => tag.toLowerCase().split('-', 1)[0] === subtags[0])
  }
}

/** What `Accept-Language` prefers, the best first (RFC 9110, 12.5.4). */
function preferred(accept: string): string[] {
  const ranges = accept
    .slice(0, 1000)
    .split(',')
    .map((one) => {
      const [range = '', weight] = one.split(/;\s*q=/i)
      return { range: range.trim(), weight: Number(weight ?? 1) }
    })
  return ranges
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => b.weight - a.weight)
    .map(({ range }) => range)
}

interface Pattern {
  readonly matches: RegExp
  readonly text: string
}

/** Longer ones are nothing that is translated. */
const LONGEST = 500

/** The words of a language. */
export class Wording {
  readonly #messages: Readonly<Record<string, string>>
  readonly #exact = new Map<string, string>()
  readonly #patterns: Pattern[] = []

  /** @param tables those behind come before */
  constructor(tables: readonly Language[]) {
    this.#messages = Object.assign({}, ...tables.map(({ messages }) => messages))
    for (const { phrases = {} } of tables.toReversed())
      for (const [english, text] of Object.entries(phrases)) {
        if (!english.includes('%s')) this.#exact.set(english, this.#exact.get(english) ?? text)
        else this.#patterns.push({ matches: patternOf(english), text })
      }
  }

  /** The same error in these words: what nobody has translated stays as it is. */
  tell(error: PlinthError): PlinthError {
    const { code, errors } = error
    const filled = error[ARGUMENTS]
    const text = Object.hasOwn(this.#messages, code) ? this.#messages[code] : undefined
    const message =
      text !== undefined && filled ? this.#fill(text, filled) : this.#say(error.message)
    return inOtherWords(
      error,
      message,
      errors?.map(({ path, message }) => ({ path, message: this.#say(message) })) ?? null,
    )
  }

  #say(english: string): string {
    if (english.length > LONGEST) return english
    const exact = this.#exact.get(english)
    if (exact !== undefined) return exact
    for (const { matches, text } of this.#patterns) {
      const found = matches.exec(english)
      if (found) return this.#fill(text, found.slice(1))
    }
    return english
  }

  #fill(text: string, values: readonly unknown[]): string {
    return format(text, ...values.map((one) => (typeof one === 'string' ? this.#say(one) : one)))
  }
}

function patternOf(english: string): RegExp {
  const parts = english.split('%s').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('([^]*?)')}$`)
}
