import type { FastifyInstance } from 'fastify'
import type { Config } from '../config/read.ts'
import { isLoopback } from '../config/schema.ts'
import { type VariableSchema, variablesOf } from '../config/secret.ts'
import type { ServiceDefinition } from '../define-service.ts'
import { readProcesses } from '../deploy/processes.ts'
import { type FindingCode, found, type PluginFinding } from '../findings.ts'
import { readServiceConfig } from '../service.ts'
import type { Finding } from './finding.ts'
import { checkRoutes, type RouteWatch } from './routes.ts'

/** Where a service is deployed. */
export interface Platform {
  /** Seconds from SIGTERM to SIGKILL. */
  readonly gracePeriod: number
}

interface Deployed {
  readonly app: FastifyInstance
  readonly watch: RouteWatch
  readonly platform: Platform
  readonly service: ServiceDefinition
  readonly root: string
}

type Others = Parameters<typeof found>[2]

/** Whether a service is fit to be deployed with the configuration at hand; that it runs is known. */
export function checkDeployment({ app, watch, platform, service, root }: Deployed): Finding[] {
  const all: PluginFinding[] = [
    ...checkMode(app.config.NODE_ENV),
    ...checkSecrets(readServiceConfig(service, { root })),
    ...checkProcess(process.version, process.env, process.execArgv, new Date()),
    ...checkSettings(app),
    ...checkCallers(app, service, watch),
    ...checkShutdown(app, platform),
    ...checkProcesses(service, root),
  ]
  const told = all.map((one) => ({ check: 'deployment', ...one }))
  return [...told, ...checkRoutes(watch)]
}

/** The finding where `isBad`, and none where not. */
function when(isBad: boolean, code: FindingCode, message: string, others?: Others) {
  return isBad ? [found(code, message, others)] : []
}

function checkMode(mode: string): PluginFinding[] {
  const message = `NODE_ENV is ${mode}: these are not the settings that it is deployed with`
  return when(mode !== 'production', 'not-production', message)
}

/** Fewer can be tried out, or are no chance at all. */
const MIN_SECRET = 12
const MIN_DIFFERENT = 6
const KNOWN =
  /^(admin|change.?(me|it|this)|default|dev(elopment)?|example|guest|letmein|password|qwerty|root|secret|test|xxx+)[\W\d]*$/i

/** Secrets that others know or can find out. Only their names are told. */
export function checkSecrets({ schema, values, variables }: Config<unknown>): PluginFinding[] {
  const origins = new Map(variables.map(({ name, origin }) => [name, origin]))
  return variablesOf(schema).flatMap(([name, variable]) => {
    const secret = secretIn(variable, (values as Record<string, unknown>)[name])
    if (secret === undefined) return []
    const origin = origins.get(name) ?? ''
    if (origin === 'default' || origin.startsWith('defaults.'))
      return [found('secret-in-code', `${name} is secret, and in the code`, { subject: name })]
    const problem = weakness(secret)
    return when(problem !== undefined, 'secret-weak', `${name} is secret, and ${problem}`, {
      subject: name,
    })
  })
}

/** What of a value nobody may know; none where it is not set. */
function secretIn({ secret }: VariableSchema, value: unknown): string | undefined {
  if (!secret || typeof value !== 'string' || value === '') return undefined
  if (secret === true) return value
  const password = URL.parse(value)?.password
  return password ? safeDecode(password) : undefined
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function weakness(secret: string): string | undefined {
  if (KNOWN.test(secret)) return 'one that everybody tries first'
  if (secret.length < MIN_SECRET) return `shorter than ${MIN_SECRET} characters`
  if (new Set(secret).size < MIN_DIFFERENT)
    return `made of fewer than ${MIN_DIFFERENT} different characters`
  return undefined
}

/** Until when releases of Node.js with long-term support are mended; younger ones are. */
const SUPPORTED_UNTIL: Readonly<Record<string, string>> = {
  22: '2027-04-30',
  24: '2028-04-30',
  26: '2029-04-30',
}

/** What is said to Node.js itself. */
export function checkProcess(
  version: string,
  env: NodeJS.ProcessEnv,
  execArgv: readonly string[],
  now: Date,
): PluginFinding[] {
  const major = Number(/\d+/.exec(version))
  const end = SUPPORTED_UNTIL[major]
  const isOld = major <= 26 && !(end && now.toISOString().slice(0, end.length) <= end)
  const flags = `${env.NODE_OPTIONS ?? ''} ${execArgv.join(' ')}`
  return [
    ...when(
      env.NODE_TLS_REJECT_UNAUTHORIZED === '0',
      'tls-unverified',
      'NODE_TLS_REJECT_UNAUTHORIZED is 0: whoever is between can be every server that is called',
    ),
    ...when(
      /(^|\s)--inspect/.test(flags),
      'inspector-open',
      'Node.js is started with --inspect: whoever reaches its port can run anything',
    ),
    ...when(isOld, 'node-unsupported', `Node.js ${version} gets no mends any more, or never long`),
  ]
}

const LARGE_BODY = 16 * 1024 * 1024

function checkSettings(app: FastifyInstance): PluginFinding[] {
  const { HOST, BODY_LIMIT, LOAD_SHEDDING, SECURITY_HEADERS, TRUST_PROXY } = app.config
  return [
    ...when(
      isLoopback(HOST),
      'host-local',
      `HOST is ${HOST}: nobody on another machine reaches it`,
    ),
    ...when(
      TRUST_PROXY === true,
      'trust-proxy-all',
      'TRUST_PROXY is true: whoever reaches the service says from where, and as which host',
    ),
    ...when(
      BODY_LIMIT > LARGE_BODY,
      'body-limit-large',
      `BODY_LIMIT is ${BODY_LIMIT}: so many bytes are read into memory for each request`,
    ),
    ...when(
      !LOAD_SHEDDING,
      'load-shedding-off',
      'LOAD_SHEDDING is false: under too much load all requests get late, and none is refused',
    ),
    ...when(
      !SECURITY_HEADERS && app.hasDecorator('sessions'),
      'security-headers-off',
      'browsers have sessions here, and SECURITY_HEADERS is false',
    ),
  ]
}

/** Who may call, and how often. */
function checkCallers(
  app: FastifyInstance,
  { auth, authorize }: ServiceDefinition,
  { routes }: RouteWatch,
): PluginFinding[] {
  const served = routes.filter(({ route }) => route.config?.kit === undefined)
  if (served.length === 0) return []
  const limits = [
    ...(app.hasDecorator('rateLimits') ? app.rateLimits : []),
    ...[...app.registry.listings()].flatMap((listing) => listing.limits),
  ]
  const byAddress = limits.some(({ by }) => by === 'address' || by === 'user')
  return [
    ...when(
      !auth && !authorize,
      'auth-off',
      `the service decides nothing of who may call: everybody may make all ${served.length} kinds of request`,
    ),
    ...when(limits.length === 0, 'rate-limits-off', 'anybody may make any number of requests'),
    ...when(
      byAddress && app.config.TRUST_PROXY === false,
      'trust-proxy-none',
      'requests are counted by address, and TRUST_PROXY is false: behind a proxy all clients are one',
    ),
  ]
}

/** Whether a process has the time to end in order. */
function checkShutdown({ config, registry }: FastifyInstance, platform: Platform): PluginFinding[] {
  const { DRAIN_DELAY, SHUTDOWN_TIMEOUT, REQUEST_TIMEOUT } = config
  const stop = DRAIN_DELAY + SHUTDOWN_TIMEOUT
  const longest = Array.from(registry, ({ name, timeout = 0 }) => ({ name, timeout })).filter(
    ({ timeout }) => timeout > SHUTDOWN_TIMEOUT,
  )
  const cut = (what: string, timeout: number) =>
    `${what} may take ${timeout} ms, and has ${SHUTDOWN_TIMEOUT} (SHUTDOWN_TIMEOUT) when its process ends: it is cut then`
  return [
    ...when(
      DRAIN_DELAY === 0,
      'drain-none',
      'DRAIN_DELAY is 0: a balancer that has not noticed yet sends requests that are refused',
    ),
    ...when(
      stop >= platform.gracePeriod * 1000,
      'shutdown-killed',
      `a process takes up to ${stop} ms to end (DRAIN_DELAY and SHUTDOWN_TIMEOUT), and is killed after ${platform.gracePeriod} s`,
    ),
    ...when(
      REQUEST_TIMEOUT > SHUTDOWN_TIMEOUT,
      'shutdown-cuts',
      cut('a request', REQUEST_TIMEOUT),
      { subject: 'REQUEST_TIMEOUT' },
    ),
    ...longest.map(({ name, timeout }) =>
      found('shutdown-cuts', cut(name, timeout), { subject: name }),
    ),
  ]
}

function checkProcesses(service: ServiceDefinition, root: string): PluginFinding[] {
  try {
    readProcesses(service, root)
    return []
  } catch (error) {
    return [found('processes-invalid', (error as Error).message)]
  }
}
