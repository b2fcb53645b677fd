import type { Model, Plugin } from 'plinth'
import type { Generated } from 'plinth/sql'

/** What a use of it adds to the app, by its name. */
export interface __PASCAL__ {
  readonly source: string
  /** Entries that this process has added. */
  added: number
}

declare module 'fastify' {
  interface FastifyInstance extends Record<'__NAME__', __PASCAL__> {}
}

declare module 'plinth' {
  interface DatabaseTables {
    __SNAKE___entry: { id: Generated<number>; source: string; text: string }
  }
}

export declare const __PASCAL__Entry: Model
export declare const __CAMEL__: Plugin<Record<never, never>>
