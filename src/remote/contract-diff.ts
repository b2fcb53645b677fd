import { uploadFormOf } from '../http/upload.ts'
import { bodyOf, type ResourceContract, type ServiceContract } from './contract.ts'
import type { RecordedClient } from './recorded-client.ts'
import { type Difference, differences } from './schema-diff.ts'

/** What has changed between two contracts of a service. */
export interface ContractChange {
  /** `breaking`: calls that were right may fail, or their results be misunderstood; `note`: callers had better know it. */
  readonly level: 'breaking' | 'note' | 'compatible'
  /** The name of the resource, `*` for all. */
  readonly resource: string
  readonly change: string
  /** Recorded clients that call it. */
  readonly calledBy: readonly string[]
}

type Level = ContractChange['level']
type Found = Omit<ContractChange, 'calledBy' | 'resource'>

/**
 * What has changed from `before` to `after`, what breaks callers first.
 *
 * @param clients who is known to call the service
 */
export function diffContracts(
  before: ServiceContract,
  after: ServiceContract,
  clients: readonly RecordedClient[] = [],
): ContractChange[] {
  const callersOf = (resource: string) => {
    const calls = ({ uses }: RecordedClient) => uses[before.service] ?? []
    const callers = clients.filter((one) =>
      resource === '*' ? calls(one).length > 0 : calls(one).includes(resource),
    )
    return callers.map(({ client }) => client)
  }
  const names = new Set([...Object.keys(before.resources), ...Object.keys(after.resources)])
  const found = [
    ...ofService(before, after).map((one) => ({ ...one, resource: '*' })),
    ...Array.from(names, (resource) => {
      const changes = ofResource(before.resources[resource], after.resources[resource])
      return changes.map((one) => ({ ...one, resource }))
    }).flat(),
  ]
  const changes = found.map((one) => ({ ...one, calledBy: callersOf(one.resource) }))
  const rank = ({ level }: ContractChange) => LEVELS.indexOf(level)
  return changes.toSorted((a, b) => rank(a) - rank(b))
}

const LEVELS: readonly Level[] = ['breaking', 'note', 'compatible']

function ofService(before: ServiceContract, after: ServiceContract): Found[] {
  const found: Found[] = []
  if (before.service !== after.service)
    found.push(changed('note', 'service', before.service, after.service))
  if (before.envelope !== after.envelope)
    found.push(changed('breaking', 'envelope', before.envelope, after.envelope))
  if (before.tasks !== after.tasks) {
    const hasTasks = Object.values(before.resources).some(({ async }) => async)
    const breaks = hasTasks && before.tasks !== null
    found.push(changed(breaks ? 'breaking' : 'compatible', 'tasks', before.tasks, after.tasks))
  }
  return found
}

function ofResource(
  before: ResourceContract | undefined,
  after: ResourceContract | undefined,
): Found[] {
  if (!before) return [{ level: 'compatible', change: 'is new' }]
  if (!after) return [{ level: 'breaking', change: 'is not there any more' }]
  return [
    ...ofRoute(before, after),
    ...ofErrors(before, after),
    ...ofRequest(before, after),
    ...ofResponse(before, after),
  ]
}

function ofRoute(before: ResourceContract, after: ResourceContract): Found[] {
  const found: Found[] = []
  for (const key of ['method', 'path', 'status'] as const)
    if (before[key] !== after[key]) found.push(changed('breaking', key, before[key], after[key]))
  for (const name of Object.keys(before.request.properties ?? {})) {
    if (!after.request.properties?.[name]) continue
    const [from, to] = [placeOf(before, name), placeOf(after, name)]
    if (from !== to) found.push(changed('breaking', `request /${name} is sent in the`, from, to))
  }
  const [sent, taken] = [formOf(before), formOf(after)]
  if (sent && taken && sent !== taken) found.push(changed('breaking', 'body', sent, taken))
  if (before.async !== after.async)
    found.push(
      changed(before.async ? 'breaking' : 'compatible', 'async', before.async, after.async),
    )
  const [kept = false, keeps = false] = [before.idempotency, after.idempotency]
  // Who relies on it may have things done twice, and who knows nothing of it sends no key.
  const isBreach = keeps === false || keeps === 'required'
  if (kept !== keeps)
    found.push(changed(isBreach ? 'breaking' : 'compatible', 'idempotency', kept, keeps))
  const [from = 'undecided', to = 'undecided'] = [before.auth, after.auth]
  if (from !== to) found.push(changed(to === 'required' ? 'breaking' : 'note', 'auth', from, to))
  for (const type of before.consumes ?? [])
    if (!after.consumes?.includes(type))
      found.push(changed('breaking', `bodies of ${type}`, true, false))
  for (const type of after.consumes ?? [])
    if (!before.consumes?.includes(type))
      found.push(changed('compatible', `bodies of ${type}`, false, true))
  return found
}

/** How its body is written; undefined: it has none. */
function formOf(contract: ResourceContract): string | undefined {
  const body = bodyOf(contract)
  if (Object.keys(body.properties ?? {}).length === 0) return undefined
  return uploadFormOf(body)?.form ?? 'json'
}

function placeOf({ path, query }: ResourceContract, name: string): string {
  if (path.split('/').includes(`:${name}`)) return 'path'
  return query.includes(name) ? 'query' : 'body'
}

function ofErrors(
  { errors: before }: ResourceContract,
  { errors: after }: ResourceContract,
): Found[] {
  const statusIn = (list: typeof before, code: string) =>
    list.find((one) => one.code === code)?.status
  const codes = new Set([...before, ...after].map(({ code }) => code))
  return Array.from(codes).flatMap((code): Found[] => {
    const [from, to] = [statusIn(before, code), statusIn(after, code)]
    if (from === to) return []
    if (from === undefined) return [{ level: 'note', change: `it may fail with ${code} (${to})` }]
    if (to === undefined)
      return [{ level: 'note', change: `it does not fail with ${code} any more` }]
    return [changed('breaking', `status of the error ${code}`, from, to)]
  })
}

/** What was taken has to be taken. */
function ofRequest(
  { request: before }: ResourceContract,
  { request: after }: ResourceContract,
): Found[] {
  const narrower = differences(before, after)
  if (narrower.length > 0) return narrower.map((one) => told('breaking', 'request', one))
  return differences(after, before).map((one) => told('compatible', 'request', swapped(one)))
}

/** What is answered has to be what was answered, with all that was there; what a schema does not list is not sent. */
function ofResponse(
  { response: before }: ResourceContract,
  { response: after }: ResourceContract,
): Found[] {
  const sent = { closes: true }
  const wider = differences(after, before, { ...sent, reads: true })
  if (wider.length > 0) return wider.map((one) => told('breaking', 'response', swapped(one)))
  return differences(before, after, { ...sent, reads: true }).map((one) =>
    told('compatible', 'response', one),
  )
}

function swapped({ given, wanted, ...place }: Difference): Difference {
  return { ...place, given: wanted, wanted: given }
}

function told(level: Level, part: string, { path, rule, given, wanted }: Difference): Found {
  return { level, change: `${part} ${path || '/'} ${rule}: ${given} → ${wanted}` }
}

function changed(level: Level, what: string, before: unknown, after: unknown): Found {
  return { level, change: `${what}: ${before} → ${after}` }
}
