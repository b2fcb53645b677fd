import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { type EnvelopeName, envelopes } from '../src/http/envelope.ts'
import { type Asset, createAsset, sendAsset } from '../src/openapi/asset.ts'
import { loadScript, pagePolicy, paths, renderPage } from '../src/openapi/page.ts'
import { assertKnownSchemes, collectOperations } from '../src/openapi/served.ts'
import type { DocumentInfo } from '../src/openapi/types.ts'
import { assertOnce, checkOptions } from '../src/plugin.ts'
import type { SecurityInfo } from '../src/resource/security.ts'

export interface DocsOptions extends DocumentInfo, SecurityInfo {
  /** The form of the app's errors; default `standard`. */
  envelope?: EnvelopeName
}

/**
 * Serves `/openapi.json`, the OpenAPI 3.1 document of every route that is registered after this plugin, and
 * `/docs`, a page to read and try it. Both are made at the first visit: a boot pays for neither.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE
 */
async function docs(app: FastifyInstance, options: DocsOptions): Promise<void> {
  checkOptions<DocsOptions>('docs', options, {
    title: 'text',
    version: 'text',
    description: 'text?',
    envelope: 'envelope?',
    securitySchemes: 'object?',
    security: 'list?',
  })
  assertOnce(app, 'docs')
  const { envelope = 'standard', title, version, description, ...authentication } = options
  const info = { title, version, ...(description && { description }) }
  const operations = collectOperations(app)
  const schema = { hide: true }

  const build = async () => {
    const { createDocument } = await import('../src/openapi/document.ts')
    const enveloped = app.hasPlugin('plinth-envelope')
    const made = await createDocument(operations, {
      info,
      authentication,
      envelope: envelopes[envelope],
      enveloped,
    })
    return createAsset('application/json; charset=utf-8', JSON.stringify(made))
  }
  app.addHook('onReady', async () => assertKnownSchemes(operations, authentication))
  let document: Promise<Asset> | undefined
  app.get(paths.document, { schema }, async (request, reply) => {
    document ??= build()
    return sendAsset(await document, request, reply)
  })

  const page = createAsset('text/html; charset=utf-8', renderPage(title, app.prefix))
  app.get(paths.page, { schema }, (request, reply) => {
    reply.header('content-security-policy', pagePolicy)
    return sendAsset(page, request, reply)
  })

  let script: Promise<Asset> | undefined
  app.get(paths.script, { schema }, async (request, reply) => {
    script ??= loadScript()
    return sendAsset(await script, request, reply)
  })
}

export default fp(docs, { name: 'plinth-docs', fastify: '5.x' })
