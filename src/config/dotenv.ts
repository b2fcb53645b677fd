/** What a .env file says. */
export interface Dotenv {
  /** By name, with the line where each begins; the first line is 1. Of a name that is there twice, the last one. */
  variables: ReadonlyMap<string, { value: string; line: number }>
  /** What could be read in more than one way. No message has anything of a value. */
  problems: readonly { line: number; message: string }[]
}

/** Whether a line that begins with this name is meant for it, between quotes, too. */
type IsDeclared = (name: string) => boolean

/** What a line says: nothing, a value, or why it is refused. */
interface Read {
  value?: string
  problem?: string
  /** How many lines below belong to the value. */
  below?: number
}

const ASSIGNMENT = /^\s*(?:export +)?([^\s=#'"`]+)\s*=(.*)$/s
// As somebody may have meant it, where a quote is closed too late.
const MEANT = /^\s*(?:#\s*)?(?:export\s+)?([^\s=:#"'`]+)\s*[=:]/
const IGNORED = /^\s*(?:#|$)/
const QUOTES = ['"', "'", '`']
// Whether one of them ends a line depends on who reads it.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNSEEN = /[\0-\x08\v-\x1f\x7f-\x9f\u2028\u2029]/

/**
 * Reads the text of a .env file. What programs read differently, or with a loss, it refuses: no value has text of
 * another line unless quotes go around both.
 */
export function parseDotenv(text: string, isDeclared: IsDeclared): Dotenv {
  const rows = text.split(/\r\n?|\n/)
  const variables = new Map<string, { value: string; line: number }>()
  const problems: { line: number; message: string }[] = []
  for (let i = 0; i < rows.length; i++) {
    const line = i + 1
    const { name, value = '', problem, below = 0 } = readRow(rows, i, isDeclared)
    if (problem !== undefined) {
      // What looks like another name may be a part of the value above.
      const message = name !== undefined && isDeclared(name) ? `${name}: ${problem}` : problem
      problems.push({ line, message })
    } else if (name !== undefined) variables.set(name, { value, line })
    i += below
  }
  return { variables, problems }
}

function readRow(rows: string[], i: number, isDeclared: IsDeclared): Read & { name?: string } {
  const row = rows[i] as string
  const [, name, rest = ''] = ASSIGNMENT.exec(row) ?? []
  if (name === undefined) return readOther(row)
  const start = rest.trimStart()
  const quote = QUOTES.find((mark) => start.startsWith(mark))
  if (quote === undefined) return { name, ...readPlain(rest) }
  return { name, ...readQuoted(quote, [start.slice(1), ...rows.slice(i + 1)], isDeclared) }
}

function readOther(row: string): Read {
  if (UNSEEN.test(row)) return { problem: describeUnseen(row) }
  if (IGNORED.test(row)) return {}
  return { problem: 'got no variable, expected NAME=value, export NAME=value or # comment' }
}

function readPlain(rest: string): Read {
  if (UNSEEN.test(rest)) return { problem: describeUnseen(rest) }
  const comment = rest.indexOf('#')
  if (comment < 0) return { value: rest.trim() }
  if (/\s/.test(rest.charAt(comment - 1))) return { value: rest.slice(0, comment).trim() }
  return { problem: 'got a # in the value, expected quotes around it, or a space before a comment' }
}

/** `rows` begin behind the opening quote and go on to the end of the file. */
function readQuoted(quote: string, rows: readonly string[], isDeclared: IsDeclared): Read {
  const below = rows.findIndex((row) => row.includes(quote))
  if (below < 0) return { problem: `got no closing ${quote}, expected one at the end of the value` }
  const inner = rows.slice(0, below + 1)
  if (inner.slice(1).some((row) => isDeclared(MEANT.exec(row)?.[1] ?? ''))) {
    return { problem: `got another variable before the closing ${quote}, expected it behind it` }
  }
  const [text = '', ...behind] = inner.join('\n').split(quote)
  const problem = problemOf(quote, text, behind.join(quote))
  if (problem !== undefined) return { problem, below }
  return { value: quote === '"' ? text.replaceAll('\\n', '\n') : text, below }
}

function problemOf(quote: string, text: string, behind: string): string | undefined {
  const others = QUOTES.filter((mark) => mark !== quote).join(' or ')
  if (quote === '"' && text.endsWith('\\')) {
    return `got \\", expected ${others} around the value: no quote can be escaped`
  }
  if (!/^\s*$|^\s+#/.test(behind)) {
    return `got text behind the closing ${quote}, expected ${others} around all of the value`
  }
  const seen = text.replaceAll('\n', '')
  return UNSEEN.test(seen) ? describeUnseen(seen) : undefined
}

function describeUnseen(text: string): string {
  const [character = ''] = UNSEEN.exec(text) ?? []
  const code = character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')
  return `got the character U+${code}, expected none that cannot be seen`
}

/** `value` as it is written behind `NAME=`, on one line; `undefined` where no quotes can hold it. */
export function quoteValue(value: string): string | undefined {
  if (UNSEEN.test(value)) return undefined
  if (!/[\s#"'`]/.test(value)) return value
  if (!/"|\\n|\\$/.test(value)) return `"${value.replaceAll('\n', '\\n')}"`
  const mark = ["'", '`'].find((each) => !value.includes(each))
  return mark && !value.includes('\n') ? mark + value + mark : undefined
}
