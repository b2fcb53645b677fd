// SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID
const SQLITE = new Set<unknown>([2067, 1555, 2579])
// ER_DUP_ENTRY, ER_DUP_ENTRY_WITH_KEY_NAME
const MYSQL = new Set<unknown>([1062, 1586])

/** The number that MySQL gives an error; `undefined` where it is no error of a query. */
export function mysqlCode(error: unknown): unknown {
  return error instanceof Error ? (error as { errno?: unknown }).errno : undefined
}

/**
 * Whether a statement failed because a row with the same primary key or unique key is there already,
 * on SQLite as on MySQL.
 */
export function isUniqueViolation(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { errcode, errno } = error as { errcode?: unknown; errno?: unknown }
  return SQLITE.has(errcode) || MYSQL.has(errno)
}
