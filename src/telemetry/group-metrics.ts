import cluster, { type Worker } from 'node:cluster'
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
  /** Asks for the text of those of all, and tells its own. */
  | { readonly plinth: 'sum'; readonly ask: number; readonly families: Family[] }

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
  /** The text of those of all processes of the group, of which this one has `families`; `undefined`: the supervisor does not answer. */
  sum(families: Family[]): Promise<string | undefined>
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
  const hear = (message: ToMember) => {
    if (message.plinth === 'measure')
      void read().then((families) => tell({ plinth: 'measured', families }))
    else if (message.plinth === 'summed') asked.get(message.ask)?.(message.text)
  }
  process.on('message', hear)
  void tell({ plinth: 'metrics', ...(place && { place }) })
  let count = 0
  return {
    async sum(families) {
      const ask = ++count
      const { promise, resolve } = Promise.withResolvers<string | undefined>()
      asked.set(ask, resolve)
      const timer = setTimeout(resolve, GROUP_LIMIT, undefined)
      void tell({ plinth: 'sum', ask, families })
      try {
        return await promise
      } finally {
        clearTimeout(timer)
        asked.delete(ask)
      }
    },
    async leave() {
      process.off('message', hear)
      await tell({ plinth: 'measured', families: await read() })
    },
  }
}

interface Member {
  /** As it told them last: what a process counts that is frozen or gone does not shrink. */
  families: readonly Family[]
  /** When that was, as `performance.now()` counts. */
  told: number
  /** It was asked and has not answered yet: until it does it is not asked again, nor waited for. */
  answered: PromiseWithResolvers<void> | undefined
}

/**
 * Sums the metrics of the processes of a group up, in their supervisor: what those that have died had counted still counts, and
 * one that does not answer in time counts with what it told last, without its gauges. A process under load is asked once, and whoever asks for all
 * has told its own with that: each message waits for a turn of its loop. The text is written here, where nobody waits.
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
      const { ask, families } = message
      this.#take(worker, families)
      void this.#text().then((text) => tell(worker, { plinth: 'summed', ask, text }))
    }
  }

  #add(worker: Worker, place: Place | undefined): void {
    this.#members.set(worker, { families: [], told: Number.NEGATIVE_INFINITY, answered: undefined })
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
  }

  readonly #bury = (worker: Worker): void => {
    const member = this.#members.get(worker)
    if (!member) return
    this.#members.delete(worker)
    this.#dead = mergeFamilies([this.#dead, member.families.filter(isTotal)])
    member.answered?.resolve()
  }

  async #collect(): Promise<Family[]> {
    const answers = Array.from(this.#members, ([worker, member]) => ask(worker, member))
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, MEMBER_LIMIT)
    })
    await Promise.race([Promise.all(answers), late])
    clearTimeout(timer)
    // Those of now: one that has died meanwhile is among the dead.
    const members = [...this.#members.values()]
    const missing = members.filter(({ answered }) => answered)
    const all = members.map(({ families, answered }) =>
      answered ? families.filter(isTotal) : families,
    )
    const unheard = [
      gauge('telemetry_processes', '', missing.length),
      gauge('telemetry_processes_missing', '', missing.length),
    ]
    return mergeFamilies([...all, this.#dead, unheard])
  }
}

async function ask(worker: Worker, member: Member): Promise<void> {
  if (member.answered || performance.now() - member.told < FRESH) return
  member.answered = Promise.withResolvers()
  tell(worker, { plinth: 'measure' })
  await member.answered.promise
}

/** One that is ending cannot be told anything. */
function tell(worker: Worker, message: ToMember): void {
  if (worker.isConnected()) worker.send(message, () => {})
}
