import type { ColumnState } from './state.ts'

// What latin1 has instead of the characters 80 to 9F: MySQL means cp1252 by it.
const CP1252 = '€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ'

const BASIC = '\\u0000-\\uffff'

// What MySQL's character sets have, as a class of a regular expression with the flag `u`. Where one is not here, the
// server alone knows.
const CHARACTERS: Readonly<Record<string, string>> = {
  ascii: '\\u0000-\\u007f',
  latin1: `\\u0000-\\u00ff${CP1252}`,
  utf8: BASIC,
  utf8mb3: BASIC,
  ucs2: BASIC,
}

/** The pattern of texts that a column of MySQL takes; `undefined`: any, or nobody knows. */
export function charactersOf(type: ColumnState['type'] | undefined): string | undefined {
  if (type === 'uuid') return `^[${CHARACTERS.ascii}]*$`
  if (typeof type !== 'object') return undefined
  const set = / character set (\w+)/i.exec(type.mysql)?.[1]?.toLowerCase() ?? ''
  const characters = CHARACTERS[set]
  return characters && `^[${characters}]*$`
}
