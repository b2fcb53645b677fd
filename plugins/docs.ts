import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { envelopeOf } from '../src/http/envelope.ts'
import { type Asset, createAsset, sendAsset } from '../src/openapi/asset.ts'
import { loadScript, pagePolicy, renderPage } from '../src/openapi/page.ts'
import { assertKnownSchemes, collectOperations } from '../src/openapi/served.ts'
import type { DocumentInfo } from '../src/openapi/types.ts'
import { addCheck, assertOnce, checkOptions, requirePackages } from '../src/plugin.ts'
import type { SecurityInfo } from '../src/resource/security.ts'

export interface DocsOptions extends DocumentInfo, SecurityInfo {
  /** Where the document is; default `/openapi.json`. */
  document?: string
  /** Where the page is; `false`: nowhere. Default `/docs`. */
  page?: string | false
}

/**
 * Serves `/openapi.json`, the OpenAPI 3.1 document of every route that is registered after this plugin, and
 * `/docs`, a page to read and try it. Both are made at the first visit: a boot pays for neither.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE, PACKAGE_MISSING
 */
async function docs(app: FastifyInstance, options: DocsOptions): Promise<void> {
  checkOptions<DocsOptions>('docs', options, {
    title: 'text',
    version: 'text',
    description: 'text?',
    document: 'path?',
    page: 'route?',
    securitySchemes: 'object?',
    security: 'list?',
  })
  assertOnce(app, 'docs')
  requirePackages('docs', '@fastify/swagger', '@scalar/fastify-api-reference')
  const { document = '/openapi.json', page = '/docs' } = options
  const { title, version, description, security, securitySchemes } = options
  const authentication = {
    ...(security && { security }),
    ...(securitySchemes && { securitySchemes }),
  }
  const info = { title, version, ...(description && { description }) }
  const operations = collectOperations(app)
  const schema = { hide: true }

  const message = 'DOCS is on: anybody can read the API document'
  addCheck(app, 'production', ({ production }) =>
    production ? [{ level: 'warning', message }] : [],
  )

  const build = async () => {
    const { createDocument } = await import('../src/openapi/document.ts')
    const enveloped = app.hasPlugin('plinth-envelope')
    const document = await createDocument(operations, {
      info,
      authentication,
      envelope: envelopeOf(app),
      enveloped,
    })
    return createAsset('application/json; charset=utf-8', JSON.stringify(document))
  }
  app.addHook('onReady', async () => assertKnownSchemes(operations, authentication))
  let made: Promise<Asset> | undefined
  app.get(document, { schema }, async (request, reply) => {
    made ??= build()
    return sendAsset(await made, request, reply)
  })
  if (page) servePage(app, { title, document, page })
}

function servePage(
  app: FastifyInstance,
  { title, document, page }: { title: string; document: string; page: string },
): void {
  const schema = { hide: true }
  const paths = { document: app.prefix + document, script: `${app.prefix}${page}/scalar.js` }
  const html = createAsset('text/html; charset=utf-8', renderPage(title, paths))
  app.get(page, { schema }, (request, reply) => {
    reply.header('content-security-policy', pagePolicy)
    return sendAsset(html, request, reply)
  })
  let script: Promise<Asset> | undefined
  app.get(`${page}/scalar.js`, { schema }, async (request, reply) => {
    script ??= loadScript()
    return sendAsset(await script, request, reply)
  })
}

export default fp(docs, { name: 'plinth-docs', fastify: '5.x' })
