import { createHmac, timingSafeEqual } from 'node:crypto'

/** With SHA-256. */
export function hmac(secret: string, data: string | Buffer): Buffer {
  return createHmac('sha256', secret).update(data).digest()
}

/** How long it takes tells nothing of where they differ: what is signed by a cookie and by a request is compared by this alone. */
export function isEqual(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}
