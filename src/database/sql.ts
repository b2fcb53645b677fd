/**
 * `plinth/sql`: what queries are written with, of the Kysely that `app.db` is. A package manager may keep that one out of
 * a service's reach.
 */
export type * from 'kysely'
export { expressionBuilder, sql } from 'kysely'
