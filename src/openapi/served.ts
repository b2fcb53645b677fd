import type { FastifyInstance, RouteOptions } from 'fastify'

/** One method of a route as it was registered, with the Fastify context that it belongs to. */
export interface ServedOperation {
  scope: FastifyInstance
  method: string
  url: string
  route: RouteOptions
}

/**
 * Collects what is registered after it in `app` and below it. HEAD is left out: it follows from GET; so is
 * what its schema hides (`hide: true`).
 */
export function collectOperations(app: FastifyInstance): readonly ServedOperation[] {
  const operations: ServedOperation[] = []
  app.addHook('onRoute', function collect(this: FastifyInstance, route) {
    if (isHidden(route.schema)) return
    for (const method of [route.method].flat()) {
      // The URL is copied: where a route is served with and without a slash Fastify changes it in place.
      if (method !== 'HEAD') operations.push({ scope: this, method, url: route.url, route })
    }
  })
  return operations
}

function isHidden(schema: { hide?: boolean } | undefined): boolean {
  return schema?.hide === true
}
