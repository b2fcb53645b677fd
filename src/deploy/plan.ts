import { readConfig } from '../config/read.ts'
import type { KitConfig } from '../config/schema.ts'
import type { ServiceDefinition } from '../define-service.ts'
import { errors } from '../errors.ts'
import { configOwners, modelsOf } from '../kit.ts'
import { hasTasks, type Processes, readProcesses } from './processes.ts'

/** What is asked for beside the service. */
export interface DeployOptions {
  /** The image that Kubernetes runs; default: the name and version of the service. */
  readonly image?: string | undefined
  /** The folder of the service where systemd runs it; default `/srv` and its name. */
  readonly directory?: string | undefined
  /** The version of BlueKing's app_desc.yaml; default 3. */
  readonly spec?: 2 | 3 | undefined
  /** Whether the service has what it takes to have its tasks in Redis, and not in its database; default true. */
  readonly redis?: boolean | undefined
}

/** All that files of a deployment are written from: no variable of whoever writes them is among it. */
export interface Plan extends Processes {
  readonly name: string
  readonly image: string
  readonly directory: string
  readonly spec: 2 | 3
  readonly port: number
  /** Seconds that a process may take to end. */
  readonly stop: number
  /** Where the process says that it lives, and that it can serve; undefined: nowhere. */
  readonly alive: string | undefined
  readonly ready: string | undefined
  /** Where it tells its metrics, on a port of their own or that of everything else; undefined: nowhere. */
  readonly metrics: { readonly path: string; readonly port: number | undefined } | undefined
  readonly hasDatabase: boolean
  /** Whether tasks are in Redis. */
  readonly hasRedis: boolean
}

/** One file of a deployment, by its path in the folder of the service. */
export interface DeployFile {
  readonly path: string
  readonly text: string
}

// With the name of a process it is one of Kubernetes, of at most 63 characters.
const NAME = /^[a-z]([a-z0-9-]{0,40}[a-z0-9])?$/

/** To end in order takes a moment longer than the delays say. */
const MARGIN = 5

/**
 * Plans a deployment of the service.
 *
 * @param root its folder
 * @throws {PlinthError} PROCESSES_INVALID; DEPLOY_REFUSED where no platform takes the name of the service
 */
export function planDeployment(
  service: ServiceDefinition,
  root: string,
  { image, directory, spec = 3, redis = true }: DeployOptions = {},
): Plan {
  const { name, version = '0.0.0', routes = {} } = service
  if (!NAME.test(name))
    throw errors.DEPLOY_REFUSED(
      'Files of a deployment',
      `the service is called ${name}; expected up to 42 lower case letters, digits and -, a letter first`,
    )
  const processes = readProcesses(service, root)
  const { PORT, DRAIN_DELAY, SHUTDOWN_TIMEOUT } = readSettings(service)
  const { ping = '/ping', healthz = '/healthz', readyz = '/readyz' } = routes
  return {
    ...processes,
    name,
    image: image ?? `${name}:${version}`,
    directory: directory ?? `/srv/${name}`,
    spec,
    // One that is given by the system cannot be written down.
    port: PORT || 8000,
    stop: Math.ceil((DRAIN_DELAY + SHUTDOWN_TIMEOUT) / 1000) + MARGIN,
    alive: healthz || ping || undefined,
    ready: readyz || healthz || ping || undefined,
    metrics: readMetrics(service),
    hasDatabase: processes.release !== undefined || modelsOf(service).length > 0,
    hasRedis: redis && hasTasks(service),
  }
}

function readMetrics({ defaults, routes = {} }: ServiceDefinition): Plan['metrics'] {
  const { METRICS, METRICS_PORT: port } = defaults?.prod ?? {}
  const { metrics: path = '/metrics' } = routes
  return METRICS && path ? { path, port: port === undefined ? undefined : Number(port) } : undefined
}

/** The few settings that files depend on, as they are in production where nothing else is set. */
function readSettings(service: ServiceDefinition): KitConfig {
  const { PORT, DRAIN_DELAY, SHUTDOWN_TIMEOUT } = service.defaults?.prod ?? {}
  const owners = configOwners(service).filter(({ owner }) => owner === 'config')
  return readConfig<KitConfig>(owners, {
    env: { NODE_ENV: 'production' },
    dotenv: false,
    defaults: { prod: { PORT, DRAIN_DELAY, SHUTDOWN_TIMEOUT } },
  }).values
}
