/** What is known of the time that a pattern takes. */
export interface Cost {
  /** Whether it repeats something without limit: the time grows with the text, often with its square. */
  unlimited: boolean
  /**
   * Whether it can read one text in a number of ways that doubles with each further character: `^(\w+ ?)+$`. What does
   * not match is tried in all of them.
   */
  exponential: boolean
}

/**
 * Looks at a pattern as `Type.String({ pattern })` has it (with the flag `u`). Back references and what stands in front
 * of a lookaround are taken for nothing; repetitions of many different things for unlimited ones.
 *
 * @throws {SyntaxError} where it is none
 */
export function costOf(pattern: string): Cost {
  new RegExp(pattern, 'u')
  const automaton = new Automaton()
  const unlimited = new Parser(pattern, automaton).parse()
  return { unlimited, exponential: automaton.isAmbiguous() }
}

/** In how many ways something is reached, by position; more than 2 are as bad as 2. */
type Ways = ReadonlyMap<number, number>

/** A part of a pattern: where it may begin and end, and in how many ways it is nothing. */
interface Part {
  first: Ways
  last: Ways
  empty: number
}

const NOTHING: Part = { first: new Map(), last: new Map(), empty: 1 }

function sum(a: Ways, b: Ways, times = 1): Ways {
  const all = new Map(a)
  for (const [position, ways] of b) add(all, position, ways * times)
  return all
}

function add(all: Map<number, number>, position: number, ways: number): void {
  if (ways > 0) all.set(position, Math.min(2, (all.get(position) ?? 0) + ways))
}

// More than any pattern that people read. What needs more steps has very many ways, and is taken for exponential.
const MOST_POSITIONS = 200
const MOST_STEPS = 1_000_000

/** What may follow what: each position is one character class of the pattern. */
class Automaton {
  readonly #classes: string[] = []
  readonly #follow: Map<number, number>[] = []
  readonly #members = new Map<string, ReadonlySet<string>>()

  get isFull(): boolean {
    return this.#classes.length > MOST_POSITIONS
  }

  /** A character, or a class of them, by its source. */
  one(source: string): Part {
    const position = this.#classes.push(source) - 1
    this.#follow.push(new Map())
    const only = new Map([[position, 1]])
    return { first: only, last: only, empty: 0 }
  }

  sequence(a: Part, b: Part): Part {
    this.#connect(a.last, b.first)
    return {
      first: sum(a.first, b.first, a.empty),
      last: sum(b.last, a.last, b.empty),
      empty: Math.min(2, a.empty * b.empty),
    }
  }

  choice(a: Part, b: Part): Part {
    return {
      first: sum(a.first, b.first),
      last: sum(a.last, b.last),
      empty: Math.min(2, a.empty + b.empty),
    }
  }

  /** Once or more often. */
  repeat(part: Part): Part {
    this.#connect(part.last, part.first)
    return part
  }

  #connect(from: Ways, to: Ways): void {
    for (const [a, waysOut] of from) {
      for (const [b, waysIn] of to) add(this.#follow[a] as Map<number, number>, b, waysOut * waysIn)
    }
  }

  /** Whether from one position back to it there are two ways for one text. */
  isAmbiguous(): boolean {
    return this.#classes.some((_, position) => this.#returnsTwice(position))
  }

  #steps = 0

  #returnsTwice(position: number): boolean {
    const start = this.#pair(position, position)
    const seen = new Set([start])
    const before = new Map<number, number[]>()
    // One way runs beside another; a pair of one position that goes on in two ways counts as two.
    for (const pair of seen) {
      for (const next of this.#nextOf(pair)) {
        if (++this.#steps > MOST_STEPS) return true
        const known = before.get(next)
        if (known) known.push(pair)
        else before.set(next, [pair])
        seen.add(next)
      }
    }
    const back = new Set([start, this.#pair(position, position, true)])
    for (const pair of back) for (const one of before.get(pair) ?? []) back.add(one)
    return [...back].some((pair) => pair % 2 === 1 && seen.has(pair))
  }

  // A pair is one number, so that a set knows it; the last bit marks ways that have parted.
  #pair(a: number, b: number, parted = false): number {
    const count = this.#classes.length
    return (a * count + b) * 2 + (parted ? 1 : 0)
  }

  *#nextOf(pair: number): Generator<number> {
    const count = this.#classes.length
    const [a, b] = [Math.floor(pair / 2 / count), Math.floor(pair / 2) % count]
    for (const [nextA, ways] of this.#follow[a] ?? []) {
      for (const nextB of this.#follow[b]?.keys() ?? []) {
        if (!this.#meet(nextA, nextB)) continue
        yield this.#pair(nextA, nextB, nextA !== nextB || (a === b && ways > 1))
      }
    }
  }

  /** Whether a character is of both classes. */
  #meet(a: number, b: number): boolean {
    if (a === b) return true
    const [one, other] = [this.#membersOf(a), this.#membersOf(b)]
    for (const character of one) if (other.has(character)) return true
    return false
  }

  #membersOf(position: number): ReadonlySet<string> {
    const source = this.#classes[position] as string
    let members = this.#members.get(source)
    if (!members) {
      const test = new RegExp(`^(?:${source})$`, 'u')
      members = new Set(this.#alphabet().filter((character) => test.test(character)))
      this.#members.set(source, members)
    }
    return members
  }

  #letters: readonly string[] | undefined

  /** Latin and Greek, a letter of some other scripts, and what the pattern names. */
  #alphabet(): readonly string[] {
    const latin = Array.from({ length: 0x400 }, (_, code) => String.fromCharCode(code))
    this.#letters ??= [...new Set([...latin, ...'жאع中あ한€😀', ...this.#classes.join('')])]
    return this.#letters
  }
}

/** Reads a pattern; what is not valid has been refused before. */
class Parser {
  readonly #text: string
  readonly #automaton: Automaton
  #at = 0
  #unlimited = false

  constructor(text: string, automaton: Automaton) {
    this.#text = text
    this.#automaton = automaton
  }

  /** @returns whether something is repeated without limit */
  parse(): boolean {
    this.#choice()
    return this.#unlimited
  }

  #choice(): Part {
    let part = this.#sequence()
    while (this.#take(/\|/y)) part = this.#automaton.choice(part, this.#sequence())
    return part
  }

  #sequence(): Part {
    let part = NOTHING
    while (this.#at < this.#text.length && !/[|)]/.test(this.#text[this.#at] as string))
      part = this.#automaton.sequence(part, this.#quantified())
    return part
  }

  #quantified(): Part {
    const start = this.#at
    const part = this.#atom()
    const end = this.#at
    const found = this.#take(/(?:([*+?])|\{(\d+)(,?)(\d*)\})\??/y)
    if (!found) return part
    const [, sign, from = '', comma, to] = found
    const least = sign ? (sign === '+' ? 1 : 0) : Number(from)
    const most = sign === '?' ? 1 : sign || (comma && !to) ? Infinity : Number(comma ? to : from)
    if (most === Infinity) this.#unlimited = true
    const after = this.#at
    // Each time is another part, which is read again.
    const again = () => {
      this.#at = start
      const one = this.#atom()
      this.#at = end
      return one
    }
    const repeated = this.#times(part, again, least, most)
    this.#at = after
    return repeated
  }

  #times(part: Part, again: () => Part, least: number, most: number): Part {
    const automaton = this.#automaton
    const maybe = (one: Part): Part => ({ ...one, empty: 1 })
    if (most === 0) return NOTHING
    if (most === Infinity && least <= 1) {
      const all = automaton.repeat(part)
      return least === 0 ? maybe(all) : all
    }
    if (automaton.isFull) return maybe(automaton.repeat(part))
    const next = most - 1
    const rest = next === 0 ? NOTHING : this.#times(again(), again, Math.max(0, least - 1), next)
    const all = automaton.sequence(part, rest)
    return least === 0 ? maybe(all) : all
  }

  #atom(): Part {
    if (this.#take(/[\^$]|\\[bB]|\\k<[^>]*>|\\[1-9]\d*/y)) return NOTHING
    const around = this.#take(/\(\?<?[=!]/y)
    if (around || this.#take(/\((?:\?(?:<[^>]*>|[a-z-]*:))?/y)) {
      const inner = this.#choice()
      this.#take(/\)/y)
      return around ? NOTHING : inner
    }
    const [source] = this.#take(
      /\[(?:\\.|[^\]\\])*\]|\\(?:[pP]\{[^}]*\}|u\{[^}]*\}|u[\da-fA-F]{4}|x[\da-fA-F]{2}|c[a-zA-Z]|.)|./suy,
    ) as RegExpExecArray
    return this.#automaton.one(source)
  }

  #take(expected: RegExp): RegExpExecArray | null {
    expected.lastIndex = this.#at
    const found = expected.exec(this.#text)
    if (found) this.#at = expected.lastIndex
    return found
  }
}
