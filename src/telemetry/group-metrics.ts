import cluster, { type Worker } from 'node:cluster'
import { whenLate } from '../deadlines.ts'
import { type Family, FRESH, gauge, isTotal, mergeFamilies, shared, writeText } from './families.ts'

/** Where metrics are served alone. */
export interface Place {
  readonly host: string
  readonly port: number
}

/** What a process of a group tells its supervisor. */
type FromMember =
  /** That it has metrics, and where those of all are to be served. */
  | { readonly plinth: 'metrics'; readonly place?: Place }
  /** Its own: because it was asked, or for the last time. */
  | { readonly plinth: 'measured'; readonly families: Family[] }
  /** Asks for the text of those of all; its own follow. */
  | { readonly plinth: 'sum'; readonly ask: number }

/** What it is told. */
type ToMember =
  | { readonly plinth: 'measure' }
  | { readonly plinth: 'summed'; readonly ask: number; readonly text: string }

/** Milliseconds that a process of the group may take to tell its own. */
const MEMBER_LIMIT = 250
/** Milliseconds that the supervisor may take to tell those of all. */
const GROUP_LIMIT = 1000

/** A process of a group, for its own metrics. */
export interface GroupMember {
  /** The text of those of all processes of the group; `undefined`: the supervisor does not answer. */
  sum(): Promise<string | undefined>
  /** Leaves behind what this one has counted. */
  leave(): Promise<void>
}

/** Makes this process one whose metrics are counted with those of the others; it has to be a worker of `supervise`. */
export function joinGroup(read: () => Promise<Family[]>, place: Place | undefined): GroupMember {
  const tell = (message: FromMember) =>
    new Promise<void>((resolve) => {
      if (process.send) process.send(message, () => resolve())
      else resolve()
    })
  const asked = new Map<number, (text: string) => void>()
  let last: Family[] = []
  const measure = async () => {
    // Who is not answered does not ask again: what could be read last counts on.
    last = await read().catch(() => last)
    // One with a label that cannot be sent, a bigint, is missing.
    await tell({ plinth: 'measured', families: last }).catch(() => {})
  }
  const hear = (message: ToMember) => {
    if (message.plinth === 'measure') void measure()
    else if (message.plinth === 'summed') asked.get(message.ask)?.(message.text)
  }
  process.on('message', hear)
  void tell({ plinth: 'metrics', ...(place && { place }) })
  let count = 0
  return {
    async sum() {
      const ask = ++count
      const { promise, resolve } = Promise.withResolvers<string | undefined>()
      asked.set(ask, resolve)
      const inTime = whenLate(GROUP_LIMIT, () => resolve(undefined))
      // The others are asked meanwhile.
      void tell({ plinth: 'sum', ask })
      void measure()
      try {
        return await promise
      } finally {
        inTime()
        asked.delete(ask)
      }
    },
    async leave() {
      process.off('message', hear)
      await measure()
    },
  }
}

interface Member {
  /** As it told them last: what a process counts that is frozen or gone does not shrink. */
  families: readonly Family[]
  /** When that was, as `performance.now()` counts. */
  told: number
  /** It was asked and has not answered yet, or said that it will: until it does it is not asked again. */
  answered: PromiseWithResolvers<void> | undefined
  /** It was waited for, and is no more until it does. */
  isLate: boolean
}

/**
 * Sums the metrics of the processes of a group up, in their supervisor: what those that have died had counted still counts, and
 * one that does not answer in time counts with what it told last, without its gauges. All are at it at once, and whoever asks for all
 * is not asked itself: with a process under load each message waits for a turn of its loop. The text is written here, where nobody waits.
 */
export class GroupMetrics {
  readonly #members = new Map<Worker, Member>()
  readonly #serve: (place: Place, text: () => Promise<string>) => void
  #isServed = false
  #dead: Family[] = []

  /** @param serve serves the text of all at a place, once */
  constructor(serve: (place: Place, text: () => Promise<string>) => void) {
    this.#serve = serve
    cluster.on('message', this.#hear)
    cluster.on('exit', this.#bury)
  }

  close(): void {
    cluster.off('message', this.#hear)
    cluster.off('exit', this.#bury)
  }

  readonly #text = shared(async () => await writeText(await this.#collect()))

  readonly #hear = (worker: Worker, message: FromMember): void => {
    if (message?.plinth === 'metrics') this.#add(worker, message.place)
    else if (message?.plinth === 'measured') this.#take(worker, message.families)
    else if (message?.plinth === 'sum') {
      const { ask } = message
      const member = this.#members.get(worker)
      if (member) member.answered ??= Promise.withResolvers()
      // Who is not answered tells its own.
      this.#text().then(
        (text) => tell(worker, { plinth: 'summed', ask, text }),
        () => {},
      )
    }
  }

  #add(worker: Worker, place: Place | undefined): void {
    const told = Number.NEGATIVE_INFINITY
    this.#members.set(worker, { families: [], told, answered: undefined, isLate: false })
    if (!place || this.#isServed) return
    this.#isServed = true
    this.#serve(place, this.#text)
  }

  #take(worker: Worker, families: Family[]): void {
    const member = this.#members.get(worker)
    if (!member) return
    member.families = families
    member.told = performance.now()
    member.answered?.resolve()
    member.answered = undefined
    member.isLate = false
  }

  readonly #bury = (worker: Worker): void => {
    const member = this.#members.get(worker)
    if (!member) return
    this.#members.delete(worker)
    this.#dead = mergeFamilies([this.#dead, member.families.filter(isTotal)])
    member.answered?.resolve()
  }

  async #collect(): Promise<Family[]> {
    const missing = new Set(this.#members.values())
    const answers = Array.from(this.#members, async ([worker, member]) => {
      if (await hasAnswered(worker, member)) missing.delete(member)
    })
    const late = Promise.withResolvers<void>()
    const inTime = whenLate(MEMBER_LIMIT, late.resolve)
    await Promise.race([Promise.all(answers), late.promise])
    inTime()
    // Those of now: one that has died meanwhile is among the dead.
    const members = [...this.#members.values()]
    const unanswered = members.filter((member) => missing.has(member))
    for (const member of unanswered) member.isLate = true
    const all = members.map((member) =>
      missing.has(member) ? member.families.filter(isTotal) : member.families,
    )
    const unheard = [
      gauge('telemetry_processes', '', unanswered.length),
      gauge('telemetry_processes_missing', '', unanswered.length),
    ]
    return mergeFamilies([...all, this.#dead, unheard])
  }
}

/** Waits for what a member tells, where it has not just told it; false: it was waited for before, in vain. */
async function hasAnswered(worker: Worker, member: Member): Promise<boolean> {
  if (member.isLate) return false
  if (!member.answered) {
    if (performance.now() - member.told < FRESH) return true
    member.answered = Promise.withResolvers()
    tell(worker, { plinth: 'measure' })
  }
  await member.answered.promise
  return true
}

/** One that is ending cannot be told anything. */
function tell(worker: Worker, message: ToMember): void {
  if (worker.isConnected()) worker.send(message, () => {})
}
