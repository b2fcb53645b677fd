import { fileURLToPath } from 'node:url'

export interface Route {
  path: string
  /** A script for wrk; default: GET. */
  script?: string
  /** Reads cities: measured without Kysely, too. */
  readsCities?: true
}

/** What is loaded, by name. The one that writes is the last: it makes the database longer. */
export const routes: ReadonlyMap<string, Route> = new Map<string, Route>([
  ['ping', { path: '/ping' }],
  ['list', { path: '/cities?country=FR&page_size=20&order=-population', readsCities: true }],
  ['one', { path: '/cities/2988507', readsCities: true }],
  ['post', { path: '/cities', script: fileURLToPath(new URL('post.lua', import.meta.url)) }],
])
