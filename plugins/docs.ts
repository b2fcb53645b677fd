import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import type { PlinthError } from '../src/errors.ts'
import { FirstUse } from '../src/first-use.ts'
import { envelopeOf } from '../src/http/envelope.ts'
import type { DocumentInfo } from '../src/openapi/types.ts'
import { definePlugin, type PluginGiven } from '../src/plugin.ts'
import { checkOptions, missingPackages, requirePackages } from '../src/plugin-guards.ts'
import type { SecurityInfo } from '../src/resource/security.ts'

declare module '../src/config/schema.ts' {
  interface KitConfig extends Env {}
}

const env = Type.Object({
  DOCS: Type.Boolean({
    description: 'Serve /docs and /openapi.json.',
    derived: 'false in production, otherwise true',
  }),
})
type Env = Static<typeof env>

const PACKAGES = ['@fastify/swagger', '@scalar/fastify-api-reference']

export interface DocsOptions extends DocumentInfo, SecurityInfo {
  /** Where the document is; default `/openapi.json`. */
  document?: string
  /** Where the page is; `false`: nowhere. Default `/docs`. */
  page?: string | false
}

const schema = { hide: true }
const config = { kit: 'docs' } as const

/**
 * Serves `/openapi.json`, the OpenAPI 3.1 document of every route that is registered after this plugin, and
 * `/docs`, a page to read and try it. Both are made at the first visit: a boot pays for neither.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE, PACKAGE_MISSING
 */
async function register(app: FastifyInstance, options: DocsOptions): Promise<void> {
  checkOptions<DocsOptions>('docs', options, {
    title: 'text',
    version: 'text',
    description: 'text?',
    document: 'path?',
    page: 'route?',
    securitySchemes: 'object?',
    security: 'list?',
  })
  requirePackages('docs', PACKAGES)
  const { createAsset, sendAsset } = await import('../src/openapi/asset.ts')
  const { assertKnownSchemes, collectOperations } = await import('../src/openapi/served.ts')
  const { document = '/openapi.json', page = '/docs' } = options
  const { title, version, description, security, securitySchemes } = options
  // Strategies may be added later.
  const authentication = (): SecurityInfo => {
    const schemes = { ...app.auth?.schemes, ...securitySchemes }
    const isEmpty = Object.keys(schemes).length === 0
    return { ...(security && { security }), ...(!isEmpty && { securitySchemes: schemes }) }
  }
  const info = { title, version, ...(description && { description }) }
  const operations = collectOperations(app)

  const build = async () => {
    const { createDocument } = await import('../src/openapi/document.ts')
    const enveloped = app.hasPlugin('envelope')
    const document = await createDocument(operations, {
      info,
      authentication: authentication(),
      envelope: envelopeOf(app),
      enveloped,
    })
    return createAsset('application/json; charset=utf-8', JSON.stringify(document))
  }
  app.addHook('onReady', async () => assertKnownSchemes(operations, authentication()))
  const asset = new FirstUse(build)
  app.get(document, { schema, config }, async (request, reply) => {
    return sendAsset(await asset.get(), request, reply)
  })
  if (page) await servePage(app, { title, document, page })
}

async function servePage(
  app: FastifyInstance,
  { title, document, page }: { title: string; document: string; page: string },
): Promise<void> {
  const { createAsset, sendAsset } = await import('../src/openapi/asset.ts')
  const { loadScript, pagePolicy, renderPage } = await import('../src/openapi/page.ts')
  const paths = { document: app.prefix + document, script: `${app.prefix}${page}/scalar.js` }
  const html = createAsset('text/html; charset=utf-8', renderPage(title, paths))
  app.get(page, { schema, config }, (request, reply) => {
    reply.header('content-security-policy', pagePolicy)
    return sendAsset(html, request, reply)
  })
  const script = new FirstUse(loadScript)
  app.get(`${page}/scalar.js`, { schema, config }, async (request, reply) => {
    return sendAsset(await script.get(), request, reply)
  })
}

function optionsOf({
  env,
  service,
  named,
  isDefault,
}: PluginGiven<Env>): DocsOptions | string | PlinthError {
  const { openapi, docs } = service.routes ?? {}
  if (openapi === false) return 'take openapi: false out of the routes of the service'
  if (!env.DOCS) return `set ${named('DOCS')}=true`
  // What nobody has asked for is no reason not to start.
  const missing = isDefault('DOCS') && missingPackages('docs', PACKAGES)
  if (missing) return missing
  const { name, version = '0.0.0', description, security, securitySchemes } = service
  return {
    ...(openapi && { document: openapi }),
    ...(docs !== undefined && { page: docs }),
    ...(security && { security }),
    ...(securitySchemes && { securitySchemes }),
    title: name,
    version,
    ...(description && { description }),
  }
}

export default definePlugin({
  name: 'docs',
  env,
  // Before all that has routes: it describes what comes after it.
  after: ['decompress', 'envelope', 'auth'],
  options: optionsOf,
  register,
})
