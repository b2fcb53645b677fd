// SQLITE_CONSTRAINT_FOREIGNKEY, SQLITE_CONSTRAINT_TRIGGER (on delete restrict)
const SQLITE = new Set<unknown>([787, 1811])
// ER_NO_REFERENCED_ROW, ER_ROW_IS_REFERENCED, and both with the name of the key
const MYSQL = new Set<unknown>([1216, 1217, 1451, 1452])

/**
 * Whether a statement failed because a row refers to one that is not there, or because another refers to it,
 * on SQLite as on MySQL.
 */
export function isForeignKeyViolation(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { errcode, errno } = error as { errcode?: unknown; errno?: unknown }
  return SQLITE.has(errcode) || MYSQL.has(errno)
}
