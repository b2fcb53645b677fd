import type { FastifyRequest } from 'fastify'
import { errors } from '../errors.ts'

/** What a browser keeps is at most that long, in characters. */
const MAX_COOKIE = 4096
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/** The first cookie of that name as it was sent, nothing of it decoded; `undefined`: none, or one that no browser sends. */
export function readCookie(
  { headers }: Pick<FastifyRequest, 'headers'>,
  name: string,
): string | undefined {
  const { cookie = '' } = headers
  // Most requests of other clients have none.
  if (!cookie.includes(name)) return undefined
  const start = `${name}=`
  const found = cookie.split(';').find((one) => one.trimStart().startsWith(start))
  const value = found?.trim().slice(start.length)
  return value && value.length <= MAX_COOKIE ? value : undefined
}

/** Whether a person would see the answer: a browser that opens a page says so. */
export function isPage(request: FastifyRequest): boolean {
  return (request.method === 'GET' || request.method === 'HEAD') && acceptsPage(request)
}

/** The same of any request, a form that is sent, too. */
export function acceptsPage({ headers }: FastifyRequest): boolean {
  return /\btext\/html\b/.test(headers.accept ?? '')
}

/**
 * Refuses a change that a page of somebody else has had a browser make, which sends cookies along whoever asks. A browser says
 * which page it was by headers that no page can set (Fetch Metadata, else RFC 6454); who says nothing is refused, too.
 *
 * @param origins pages that may, beside the app's own
 * @throws {PlinthError} CROSS_ORIGIN
 */
export function assertOwnPage(request: FastifyRequest, origins: ReadonlySet<string>): void {
  const { method, headers } = request
  const isChange = !SAFE.has(method) || /\bwebsocket\b/i.test(headers.upgrade ?? '')
  if (!isChange) return
  const { origin } = headers
  const site = headers['sec-fetch-site']
  const isOwn =
    site === undefined ? hostOf(origin) === request.host : site === 'same-origin' || site === 'none'
  if (!isOwn && !(origin !== undefined && origins.has(origin))) throw errors.CROSS_ORIGIN()
}

/** Where a person comes back to from logging in: to the page that was asked for, or the one that has asked; never elsewhere. */
export function returnAddress(request: FastifyRequest, origins: ReadonlySet<string>): string {
  const { headers, protocol, host, originalUrl } = request
  const { referer = '' } = headers
  if (isPage(request)) return `${protocol}://${host}${originalUrl}`
  const from = hostOf(referer)
  const isOwn = from !== undefined && (from === host || origins.has(new URL(referer).origin))
  return isOwn ? referer : `${protocol}://${host}/`
}

/**
 * The origins of an option or a variable, as browsers write them.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID
 */
export function readOrigins(
  plugin: string,
  given: string | readonly string[] = [],
): ReadonlySet<string> {
  const all = typeof given === 'string' ? given.split(',').map((one) => one.trim()) : given
  const wrong = all.find((one) => !hostOf(one) || new URL(one).origin !== one)
  if (wrong !== undefined)
    throw errors.PLUGIN_OPTION_INVALID(plugin, 'origins', `"${wrong}"`, 'https://ui.example.com')
  return new Set(all)
}

/** Of a page; nothing of what has no host. */
function hostOf(url = ''): string | undefined {
  if (!/^https?:/.test(url) || !URL.canParse(url)) return undefined
  return new URL(url).host
}
