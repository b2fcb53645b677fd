import type { IncomingMessage } from 'node:http'
import { errors, type PlinthError } from '../errors.ts'

// RFC 3986, 3.2.2: an address in brackets, or a name of these characters; a port may follow. Empty is valid, too.
const HOST = /^(?:\[[\da-f:.]+\]|[\w.~!$&'()*+,;=%-]*)(?::\d*)?$/i

// The same almost always.
let valid: string | undefined

/**
 * What the head of a request is refused for: HTTP/1.1 wants one valid Host (RFC 9112, 3.2), because two may be read
 * differently by a proxy; and no expectation but `100-continue` is known (RFC 9110, 10.1.1).
 */
export function problemOfHead(request: IncomingMessage): PlinthError | undefined {
  const { httpVersionMajor, httpVersionMinor, headers } = request
  if (httpVersionMajor !== 1) return undefined
  const { host, expect } = headers
  if (hasTwoHosts(request)) return errors.BAD_REQUEST('it has more than one Host header')
  if (host !== undefined && host !== valid) {
    if (!HOST.test(host)) return errors.BAD_REQUEST('its Host is no host name')
    valid = host
  }
  // HTTP/1.0 knows neither.
  if (httpVersionMinor === 0) return undefined
  if (host === undefined) return errors.BAD_REQUEST('it has no Host header')
  if (expect === undefined || /^100-continue$/i.test(expect)) return undefined
  return errors.EXPECTATION_FAILED(expect)
}

// Of those that come twice, Node.js keeps the first.
function hasTwoHosts({ rawHeaders }: IncomingMessage): boolean {
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  return hosts > 1
}
