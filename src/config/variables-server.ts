import Type from 'typebox'
import { secret } from './secret.ts'

// The longest time that a Node.js timer can wait.
const MAX_TIMEOUT = 2 ** 31 - 1

/** A time in milliseconds; `minimum` 1 unless told. */
export function milliseconds(description: string, initial: number, minimum = 1) {
  return Type.Integer({ description, default: initial, minimum, maximum: MAX_TIMEOUT })
}

/** How the process runs and what it tells the platform. */
export const serverVariables = {
  NODE_ENV: Type.Enum(['development', 'test', 'production'], {
    description: 'The mode of the process.',
    derived: 'production where BKPAAS_ENVIRONMENT is stag or prod, otherwise development',
  }),
  HOST: Type.String({
    description: 'The address that the server listens on.',
    format: 'host',
    expected: 'a host name or an IP address',
    derived: '0.0.0.0 in production, otherwise 127.0.0.1',
  }),
  PORT: Type.Integer({
    description: 'The port that the server listens on; 0 takes any free one.',
    default: 8000,
    minimum: 0,
    maximum: 65535,
  }),
  LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    description: 'Log lines below this level are not written.',
    default: 'info',
  }),
  DOCS: Type.Boolean({
    description: 'Serve /docs and /openapi.json.',
    derived: 'false in production, otherwise true',
  }),
  TRUST_PROXY: Type.Union([Type.Boolean(), Type.String({ format: 'proxies' })], {
    description: 'The proxies whose X-Forwarded-* headers are believed; true believes everyone.',
    default: false,
    expected:
      'true, false, or a comma list of addresses, CIDR ranges, loopback, linklocal and uniquelocal',
  }),
  BODY_LIMIT: Type.Integer({
    description: 'The largest request body, in bytes.',
    default: 1_048_576,
    minimum: 1,
  }),
  REQUEST_TIMEOUT: milliseconds('The deadline of a request, in ms.', 30_000),
  DRAIN_DELAY: Type.Integer({
    description: 'How long readiness fails before the server closes when it stops, in ms.',
    derived: '5000 in production, otherwise 0',
    minimum: 0,
    maximum: MAX_TIMEOUT,
  }),
  SHUTDOWN_TIMEOUT: milliseconds(
    'How long requests in flight may take to finish when the server stops, in ms.',
    10_000,
  ),
  PLINTH_MODULES: Type.String({
    description:
      'The modules that this process serves and whose tasks and schedules it runs. The others can be called in process, and enqueued.',
    minLength: 1,
    expected: '__all__, or names of modules with commas between them',
    derived: 'BKAPP_DEPLOY_MODULE, otherwise __all__',
  }),
  BKAPP_DEPLOY_MODULE: Type.Optional(
    Type.String({ description: 'Another name of PLINTH_MODULES.', minLength: 1 }),
  ),
  BKPAAS_APP_ID: Type.Optional(
    Type.String({ description: 'The id of the application on a BlueKing PaaS.', minLength: 1 }),
  ),
  BKPAAS_APP_SECRET: secret(
    Type.Optional(
      Type.String({ description: 'The secret that belongs to BKPAAS_APP_ID.', minLength: 1 }),
    ),
  ),
  BKPAAS_ENVIRONMENT: Type.Optional(
    Type.Enum(['dev', 'stag', 'prod'], { description: 'Where a BlueKing PaaS runs this process.' }),
  ),
}
