import type { FastifyInstance, preParsingHookHandler, RequestPayload } from 'fastify'
import { errors } from '../src/errors.ts'
import type { createDecoder, Encoding } from '../src/http/decompress.ts'
import { definePlugin } from '../src/plugin.ts'

export interface DecompressOptions {
  /** Default: all of them. */
  encodings?: readonly Encoding[]
}

/**
 * Reads compressed bodies on each route added after it. What comes out is bounded by the route's `bodyLimit`, as what
 * comes in is; other encodings are answered with 415.
 *
 * @throws {PlinthError} PLUGIN_TWICE
 */
async function register(app: FastifyInstance, options: DecompressOptions): Promise<void> {
  const { createDecoder, ENCODINGS } = await import('../src/http/decompress.ts')
  const { encodings = ENCODINGS } = options
  const bodyless = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])
  app.addHook('onRoute', (route) => {
    if ([route.method].flat().every((method) => bodyless.has(method))) return
    route.preParsing = [decodeFrom(encodings, createDecoder), ...[route.preParsing ?? []].flat()]
  })
}

function decodeFrom(
  encodings: readonly Encoding[],
  decoder: typeof createDecoder,
): preParsingHookHandler {
  return function decodeBody(request, reply, payload, done) {
    const given = request.headers['content-encoding']
    const name = given?.trim().toLowerCase().replace(/^x-/, '') ?? ''
    if (given === undefined || name === '' || name === 'identity') return done(null, payload)
    const encoding = encodings.find((one) => one === name)
    if (!encoding) {
      reply.header('accept-encoding', encodings.join(', '))
      return done(errors.UNSUPPORTED_ENCODING(given))
    }
    // For whoever reads it, it is not encoded any more.
    delete request.headers['content-encoding']
    const decoded = decoder(encoding, payload, request.routeOptions.bodyLimit)
    reply.raw.once('close', () => decoded.destroy())
    done(null, decoded as RequestPayload)
  }
}

export default definePlugin({
  name: 'decompress',
  after: ['envelope'],
  options({ service: { decompress } }): DecompressOptions | string {
    if (!decompress) return 'give the service decompress: true'
    return decompress === true ? {} : { encodings: decompress }
  },
  register,
})
