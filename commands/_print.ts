/**
 * `value` as indented JSON: a bigint with all of its digits, as a number, as in an answer over HTTP; nothing is `null`.
 *
 * @throws {TypeError} where `value` contains itself
 */
export function formatJson(value: unknown): string {
  return JSON.stringify(value, bigintAsNumber, 2) ?? 'null'
}

function bigintAsNumber(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? JSON.rawJSON(String(value)) : value
}

declare global {
  interface JSON {
    /** In Node.js since 21; TypeScript does not know it yet. */
    rawJSON(text: string): object
  }
}

/** Rows in columns, each as wide as its longest cell; numbers to the right. */
export function formatTable(rows: readonly (readonly (string | number)[])[]): string {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => String(row[i]).length))) ?? []
  return rows
    .map((row) =>
      row
        .map((cell, i) => pad(cell, widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function pad(cell: string | number, width: number): string {
  return typeof cell === 'number' ? String(cell).padStart(width) : cell.padEnd(width)
}
