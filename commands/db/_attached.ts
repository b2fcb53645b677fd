import type { DatabaseTarget } from '../../src/database/types.ts'
import { errors } from '../../src/errors.ts'
import type { LoadedService } from '../_service.ts'

/** The database of a service, before anything is connected: it may not be there yet. */
export interface Attached {
  target: DatabaseTarget
  /** What people call it. */
  name: string
  isProduction: boolean
  /** Whether other services have tables in it, too. */
  isShared: boolean
}

/**
 * Reads which database a service has.
 *
 * @throws {PlinthError} CONFIG_INVALID, DATABASE_MISSING, DATABASE_URL_INVALID, PACKAGE_MISSING
 */
export async function readAttached({ service, root }: LoadedService): Promise<Attached> {
  const { readServiceConfig } = await import('../../src/service.ts')
  const { DATABASE_URL, NODE_ENV } = readServiceConfig(service, { root }).values
  if (!DATABASE_URL) throw errors.DATABASE_MISSING()
  const { parseDatabaseUrl } = await import('../../src/database/open.ts')
  const { databaseName } = await import('../../src/database/maintenance.ts')
  const target = parseDatabaseUrl(DATABASE_URL, root)
  if (target.kind === 'mysql') {
    const { requirePackages } = await import('../../src/plugin-guards.ts')
    requirePackages('database', ['@fastify/mysql', 'mysql2'])
  }
  return {
    target,
    name: databaseName(target),
    isProduction: NODE_ENV === 'production',
    isShared: service.sharesDatabase === true,
  }
}

/**
 * Makes sure that somebody means to drop a database: `force`, or its name typed on a terminal.
 *
 * @throws {PlinthError} PRODUCTION_REFUSED, CONFIRMATION_MISSING, DATABASE_SHARED
 */
export async function confirmDrop(attached: Attached, force: boolean): Promise<void> {
  const { name, isProduction, isShared } = attached
  const loss = `the database ${name} would be lost with all that is in it`
  if (isShared) throw errors.DATABASE_SHARED(loss)
  if (force) return
  if (isProduction) throw errors.PRODUCTION_REFUSED(loss)
  const { ask, canAsk } = await import('../_ask.ts')
  const answer = canAsk() && (await ask(`${capitalized(loss)}. Type its name: `))
  if (answer === name) return
  throw errors.CONFIRMATION_MISSING(loss, 'type its name on a terminal, or add --force')
}

const capitalized = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
