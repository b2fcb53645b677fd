/** What stands in quotes, also where it does not end, comments, and numbers. */
const VALUES =
  /`[^`]*(?:`|$)|'(?:[^'\\]|\\(?:[\s\S]|$)|'')*(?:'|$)|"(?:[^"\\]|\\(?:[\s\S]|$)|"")*(?:"|$)|\/\*[\s\S]*?(?:\*\/|$)|--[^\n]*|\b(?:0x[\da-f]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?)\b/gi

/** How much of a statement is looked at: one that inserts many rows says the same again and again. */
const LONGEST = 2000

/**
 * A statement without any value that stands in it, as mysql2 puts them there.
 *
 * @param quote what names stand between: with MySQL texts stand between `"`
 */
export function redactSql(sql: string, quote: '`' | '"'): string {
  return sql.slice(0, LONGEST).replace(VALUES, (found) => {
    if (found.startsWith(quote)) return found
    return found.startsWith('/*') || found.startsWith('--') ? '' : '?'
  })
}
