import type { FastifyInstance, RouteOptions } from 'fastify'
import { errors } from '../errors.ts'
import type { Security, SecurityInfo } from '../resource/security.ts'

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

/** How clients of an operation authenticate, if it says so itself. */
export function securityOf({ route }: ServedOperation): Security | undefined {
  return route.schema?.security
}

/** @throws {PlinthError} RESOURCE_INVALID where an operation names a scheme that is not described */
export function assertKnownSchemes(
  operations: readonly ServedOperation[],
  { securitySchemes = {}, security = [] }: SecurityInfo,
): void {
  const known = Object.keys(securitySchemes)
  const check = (name: string, used: Security) => {
    const unknown = used.flatMap((entry) => Object.keys(entry)).find((one) => !known.includes(one))
    if (unknown === undefined) return
    const problem = `its security names ${unknown}; securitySchemes has ${known.join(', ') || 'none'}`
    throw errors.RESOURCE_INVALID(name, problem)
  }
  check('(default)', security)
  for (const served of operations) {
    const { method, url, route } = served
    check(route.config?.resource ?? `${method} ${url}`, securityOf(served) ?? [])
  }
}

function isHidden(schema: { hide?: boolean } | undefined): boolean {
  return schema?.hide === true
}
