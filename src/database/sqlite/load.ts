type Sqlite = typeof import('node:sqlite')

/**
 * Loads `node:sqlite` without the line "SQLite is an experimental feature" that Node.js 22 and 24 print on
 * stderr. Every other warning is let through.
 */
export function loadSqlite(): Sqlite {
  const { emitWarning } = process
  process.emitWarning = (warning: string | Error, ...rest: unknown[]) => {
    if (String(warning).startsWith('SQLite is an experimental feature')) return
    Reflect.apply(emitWarning, process, [warning, ...rest])
  }
  try {
    return process.getBuiltinModule('node:sqlite')
  } finally {
    process.emitWarning = emitWarning
  }
}
