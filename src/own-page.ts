import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isLoopback } from './config/schema.ts'
import { errors } from './errors.ts'
import { kitFolder } from './process/kit.ts'

// The kit's own pages: one file of HTML each, for this machine where nobody has said for whom.

/** What all that such a page is made of is sent with. */
export const PAGE_HEADERS = {
  'cache-control': 'no-store',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

/** Sends the page of a folder, whose script and style are the only ones that run in it. */
export function sendPage(reply: FastifyReply, folder: string): FastifyReply {
  const page = pages.get(folder) ?? readPage(folder)
  pages.set(folder, page)
  const { html, policy } = page
  return reply.header('content-security-policy', policy).type('text/html; charset=utf-8').send(html)
}

interface Page {
  readonly html: string
  readonly policy: string
}

const pages = new Map<string, Page>()

function readPage(folder: string): Page {
  // The package has it beside what was built.
  const places = ['src', 'dist/src'].map((up) => join(kitFolder(), up, folder, 'page.html'))
  return policed(readFileSync(places.find((place) => existsSync(place)) as string, 'utf8'))
}

function policed(html: string): Page {
  const digest = (tag: string) => {
    const [, text = ''] = new RegExp(`<${tag}>(.*?)</${tag}>`, 's').exec(html) ?? []
    return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
  }
  const policy = [
    "default-src 'none'",
    `script-src ${digest('script')}`,
    `style-src ${digest('style')}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ]
  return { html, policy: policy.join('; ') }
}

/** For whom such a page is. */
export interface OwnMachine {
  /** Whose option `hosts` is told of. */
  readonly plugin: string
  /** Under which names it may be asked for, from any machine; default: those of this machine, from it alone. */
  readonly hosts: readonly string[] | undefined
}

/** Why who asks sees nothing of a page for this machine; `undefined`: may see all. */
export function refusalOf(
  { raw, headers }: FastifyRequest,
  { plugin, hosts }: OwnMachine,
): string | undefined {
  const { host = '' } = headers
  const name = host.replace(/:\d*$/, '').toLowerCase()
  // A page elsewhere may have its own name lead here (DNS rebinding): the name is what tells.
  const isKnown = hosts ? hosts.includes(name) : isLoopback(name)
  if (!isKnown)
    return `it is not for the name that is asked for; see hosts of plinth/plugins/${plugin}`
  // Not that of a proxy's header: anybody may write one.
  const address = raw.socket.remoteAddress?.replace(/^::ffff:/, '') ?? ''
  if (hosts || isLoopback(address)) return undefined
  return `it is for this machine alone; see hosts of plinth/plugins/${plugin}`
}

/**
 * Refuses who may not see a page for this machine.
 *
 * @param isData whether it is what the page asks for: no page of another origin gets it
 * @throws {PlinthError} FORBIDDEN
 */
export function assertOwnMachine(
  request: FastifyRequest,
  machine: OwnMachine,
  isData: boolean,
): void {
  const elsewhere = isData && isFromElsewhere(request) ? 'a page of another origin asks' : undefined
  const message = refusalOf(request, machine) ?? elsewhere
  if (message !== undefined) throw errors.FORBIDDEN.with({ errors: [{ path: '', message }] })
}

/** Whether a browser asks for a page of another origin. */
function isFromElsewhere({ headers }: FastifyRequest): boolean {
  const { origin, host, 'sec-fetch-site': site } = headers
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true
  return origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`
}
