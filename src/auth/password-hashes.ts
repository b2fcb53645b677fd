import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { errors } from '../errors.ts'
import { currentContext } from '../resource/context.ts'

/** How many are computed at once: of the four threads of Node.js, files and DNS need some, too. Each takes 32 MiB. */
const AT_ONCE = 2
/** How many may wait for that; at 0.2 s each they wait some six seconds at most. */
const MAX_WAITING = 64
const BYTES = 32
const BLOCK = 8
const PARALLEL = 3

const derive = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt)

interface Parsed {
  /** N is 2 to the power of this. */
  readonly ln: number
  readonly r: number
  readonly p: number
  readonly salt: Buffer
  readonly hash: Buffer
}

/** Makes and checks hashes of passwords: scrypt, as texts that say their parameters (PHC). A few at once, off the event loop. */
export class PasswordHashes {
  /** How many have been computed. */
  computed = 0
  readonly #cost: number
  // Nobody's: what is compared with it is computed as for somebody, and never right.
  readonly #nobody: Parsed
  #running = 0
  readonly #waiting: (() => void)[] = []

  /** @param cost scrypt's N is 2 to the power of this; 15 is 0.2 s and 32 MiB */
  constructor(cost: number) {
    this.#cost = cost
    const [salt, hash] = [randomBytes(16), randomBytes(BYTES)]
    this.#nobody = { ln: cost, r: BLOCK, p: PARALLEL, salt, hash }
  }

  /** @throws {PlinthError} AUTH_UNAVAILABLE where too many wait */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(16)
    const made = { ln: this.#cost, r: BLOCK, p: PARALLEL, salt }
    return format({ ...made, hash: await this.#derive(password, made) })
  }

  /**
   * Whether it is the password of `known`. Without one, or with one that cannot be read, it is not, after the same work.
   *
   * @throws {PlinthError} AUTH_UNAVAILABLE where too many wait
   */
  async verify(password: string, known: string | null | undefined): Promise<boolean> {
    const parsed = known ? parse(known) : undefined
    const { hash, ...made } = parsed ?? this.#nobody
    const isSame = timingSafeEqual(await this.#derive(password, made), hash)
    return isSame && parsed !== undefined
  }

  /** Whether it would be made with more work today. */
  isWeak(known: string): boolean {
    const { ln, r, p } = parse(known) ?? { ln: 0, r: 0, p: 0 }
    return 2 ** ln * r * p < 2 ** this.#cost * BLOCK * PARALLEL
  }

  async #derive(password: string, { ln, r, p, salt }: Omit<Parsed, 'hash'>): Promise<Buffer> {
    if (this.#running < AT_ONCE) this.#running++
    else if (this.#waiting.length < MAX_WAITING)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else throw errors.AUTH_UNAVAILABLE('too many passwords are being checked')
    try {
      // Who has waited may be gone by now.
      currentContext()?.throwIfAborted()
      this.computed++
      const N = 2 ** ln
      const maxmem = 129 * r * (N + p) + 1024
      return await derive(password.normalize('NFKC'), salt, BYTES, { N, r, p, maxmem })
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running--
    }
  }
}

function format({ ln, r, p, salt, hash }: Parsed): string {
  return `$scrypt$ln=${ln},r=${r},p=${p}$${base64(salt)}$${base64(hash)}`
}

/** As PHC has it: without padding. */
const base64 = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '')

const PHC = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([\w+/]+)\$([\w+/]{43})$/

function parse(text: string): Parsed | undefined {
  const [found, ln, r, p, salt = '', hash = ''] = PHC.exec(text) ?? []
  if (found === undefined) return undefined
  const numbers = { ln: Number(ln), r: Number(r), p: Number(p) }
  return { ...numbers, salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64') }
}
