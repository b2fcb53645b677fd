/** A long proof of something that has to hold: with the same seed it does the same again. */
export interface Proof {
  /** What holds, in a sentence. */
  summary: string
  /** What it is about: databases, Redis, or HTTP to others. */
  drivers: readonly Driver[]
  /** How large it is for real, and in `npm test`; where that is not said it takes minutes however small it is, and is not in there. */
  size: { full: number; short?: number }
  /** A program that not every machine has or may install: it is not in `npm test` then. */
  needs?: string
  /**
   * @returns the figures, by name
   * @throws {Error} where it does not hold
   */
  prove(options: ProofOptions): Promise<Record<string, number>>
}

export type Driver = 'sqlite' | 'mysql' | 'redis' | 'http'

export interface ProofOptions {
  driver: Driver
  seed: number
  size: number
  /** An empty folder, for whatever it needs. */
  folder: string
  /** What the processes of a service are given beside what the proof gives them. */
  env?: Readonly<Record<string, string>>
  /** Makes an empty database, which is removed at the end, and returns its URL. Proofs about Redis start their own. */
  createDatabase(): Promise<string>
  /** To be done when it ends, however that is; the last one first. */
  teardown(work: () => unknown): void
  /** Says how far it is. */
  tell(done: number): void
}

/** Throws unless what was found is what was wanted, as JSON. */
export function assertSame(found: unknown, wanted: unknown, where: string): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)]
  if (a !== b) throw new Error(`${where}: found ${a}, wanted ${b}`)
}
