import type { FastifyInstance, preParsingHookHandler, RequestPayload } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '../src/errors.ts'
import { createDecoder, ENCODINGS, type Encoding } from '../src/http/decompress.ts'

export interface DecompressOptions {
  /** Default: all of them. */
  encodings?: readonly Encoding[]
}

/**
 * Reads compressed bodies on each route added after it. What comes out is bounded by the route's `bodyLimit`, as what
 * comes in is; other encodings are answered with 415.
 */
async function decompress(app: FastifyInstance, options: DecompressOptions): Promise<void> {
  const { encodings = ENCODINGS } = options
  const bodyless = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])
  app.addHook('onRoute', (route) => {
    if ([route.method].flat().every((method) => bodyless.has(method))) return
    route.preParsing = [decodeFrom(encodings), ...[route.preParsing ?? []].flat()]
  })
}

function decodeFrom(encodings: readonly Encoding[]): preParsingHookHandler {
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
    const decoded = createDecoder(encoding, payload, request.routeOptions.bodyLimit)
    reply.raw.once('close', () => decoded.destroy())
    done(null, decoded as RequestPayload)
  }
}

export default fp(decompress, { name: 'plinth-decompress', fastify: '5.x' })
