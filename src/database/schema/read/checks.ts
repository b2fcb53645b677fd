import { isSymbol, isWord, tokenize, unwrap } from './tokens.ts'

/** A check that a column has one of these values. */
export interface ValuesCheck {
  column: string
  values: string[]
}

/** Reads `"kind" in ('town', 'city')`, or `=` as MariaDB writes it for one; `undefined` for any other condition. */
export function readValues(
  condition: string,
  options?: { backslashes?: boolean },
): ValuesCheck | undefined {
  const tokens = unwrap(tokenize(condition, options)).filter(
    ({ kind, text }) => !(kind === 'word' && text.startsWith('_utf8')),
  )
  const [column, word, open, ...list] = tokens
  if (column?.kind !== 'name' && column?.kind !== 'word') return undefined
  if (isSymbol(word, '=') && open?.kind === 'string' && list.length === 0) {
    return { column: column.text, values: [open.text] }
  }
  const close = list.pop()
  if (!isWord(word, 'in') || !isSymbol(open, '(') || !isSymbol(close, ')')) return undefined
  const fits = list.every((token, i) =>
    i % 2 === 0 ? token.kind === 'string' : isSymbol(token, ','),
  )
  if (!fits || list.length % 2 === 0) return undefined
  const values = list.filter(({ kind }) => kind === 'string').map(({ text }) => text)
  return { column: column.text, values }
}
