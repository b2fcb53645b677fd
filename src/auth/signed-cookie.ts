import type { FastifyReply, FastifyRequest } from 'fastify'
import { readCookie } from './browser.ts'
import { hmac, isEqual } from './hmac.ts'

export interface CookieRules {
  /** The first signs, all are known. */
  readonly secrets: readonly string[]
  /** Whether it is for HTTPS alone. */
  readonly secure: boolean
}

/** A cookie that no script reads, no page of others has a browser send along with a change, and only this service can have written. */
export class SignedCookie {
  readonly name: string
  readonly #purpose: string
  readonly #rules: CookieRules

  /** @param purpose what is signed for one purpose is worth nothing for another */
  constructor(name: string, purpose: string, rules: CookieRules) {
    this.name = name
    this.#purpose = purpose
    this.#rules = rules
  }

  /** What it says, where one of the secrets has signed that. */
  read(request: FastifyRequest): string | undefined {
    const text = readCookie(request, this.name)
    if (text === undefined) return undefined
    const end = text.lastIndexOf('.')
    const value = text.slice(0, Math.max(0, end))
    const given = Buffer.from(text.slice(end + 1))
    const isSigned = this.#rules.secrets.some((secret) =>
      isEqual(Buffer.from(this.#signatureOf(value, secret)), given),
    )
    return isSigned ? value : undefined
  }

  /** @param value letters, digits, `-` and `_` */
  write(reply: FastifyReply, value: string, seconds: number): void {
    const [secret = ''] = this.#rules.secrets
    this.#send(reply, `${value}.${this.#signatureOf(value, secret)}`, seconds)
  }

  clear(reply: FastifyReply): void {
    this.#send(reply, '', 0)
  }

  #send(reply: FastifyReply, text: string, seconds: number): void {
    const attributes = `Path=/; HttpOnly; SameSite=Lax${this.#rules.secure ? '; Secure' : ''}`
    reply.header('set-cookie', `${this.name}=${text}; Max-Age=${seconds}; ${attributes}`)
  }

  #signatureOf(value: string, secret: string): string {
    return hmac(secret, `${this.#purpose} ${value}`).toString('base64url')
  }
}
