import Type from 'typebox'
import { secret } from './secret.ts'
import { milliseconds } from './variables-server.ts'

const HOST = { format: 'host', expected: 'a host name or an IP address' }
const PORT = { minimum: 1, maximum: 65535 }

function url(description: string, pattern: string, expected: string, derived: string) {
  return Type.Optional(Type.String({ description, pattern, expected, derived, secret: 'password' }))
}

function count(description: string, initial: number) {
  return Type.Integer({ description, default: initial, minimum: 1 })
}

const mysql = {
  MYSQL_HOST: Type.Optional(
    Type.String({ description: 'MySQL, when DATABASE_URL is not set: its host.', ...HOST }),
  ),
  MYSQL_PORT: Type.Optional(
    Type.Integer({ description: 'The port of MYSQL_HOST; 3306 when not set.', ...PORT }),
  ),
  MYSQL_NAME: Type.Optional(
    Type.String({ description: 'The database on MYSQL_HOST.', minLength: 1 }),
  ),
  MYSQL_USER: Type.Optional(Type.String({ description: 'The user on MYSQL_HOST.', minLength: 1 })),
  MYSQL_PASSWORD: secret(
    Type.Optional(Type.String({ description: 'The password of MYSQL_USER; may be empty.' })),
  ),
}

const redis = {
  REDIS_HOST: Type.Optional(
    Type.String({ description: 'Redis, when REDIS_URL is not set: its host.', ...HOST }),
  ),
  REDIS_PORT: Type.Optional(
    Type.Integer({ description: 'The port of REDIS_HOST; 6379 when not set.', ...PORT }),
  ),
  REDIS_PASSWORD: secret(
    Type.Optional(
      Type.String({ description: 'The password of REDIS_HOST; none when empty or not set.' }),
    ),
  ),
  REDIS_DB: Type.Optional(
    Type.Integer({
      description: 'The number of the database on REDIS_HOST; 0 when not set.',
      minimum: 0,
    }),
  ),
}

/** The attached resources and how long they are waited for. */
export const resourceVariables = {
  DATABASE_URL: url(
    'The database. Where it is unset, none is attached.',
    '^(mysql://|sqlite:).',
    'mysql://user:password@host:3306/name or sqlite:./path/to/file.db',
    'from MYSQL_*; where MYSQL_HOST is unset: none in production, sqlite::memory: in tests, otherwise sqlite:./data/dev.db',
  ),
  DATABASE_POOL_SIZE: count('The most connections to MySQL that one process opens.', 10),
  DATABASE_QUEUE_LIMIT: count(
    'The most queries that wait for a connection; more are refused.',
    10_000,
  ),
  DATABASE_CONNECT_TIMEOUT: milliseconds('How long connecting to MySQL may take, in ms.', 5000),
  DATABASE_ACQUIRE_TIMEOUT: milliseconds('How long a query waits for a connection, in ms.', 5000),
  DATABASE_QUERY_TIMEOUT: milliseconds(
    'How long one query may take, in ms; 0 for no end.',
    30_000,
    0,
  ),
  DATABASE_SLOW_QUERY: milliseconds(
    'From how long on a query is logged with its plan, in ms; 0: never.',
    500,
    0,
  ),
  ...mysql,
  REDIS_URL: url(
    'Redis. Where it is unset, what needs it works in memory.',
    '^rediss?://.',
    'redis://:password@host:6379/0, or rediss:// for TLS',
    'from REDIS_*; where REDIS_HOST is unset: none',
  ),
  ...redis,
  REDIS_TIMEOUT: milliseconds(
    'How long Redis may take to answer before a request goes on without it, in ms.',
    250,
  ),
  CACHE_MEMORY: Type.Integer({
    description: 'The most bytes of cached results that one process keeps; 0: it keeps none.',
    default: 67_108_864,
    minimum: 0,
  }),
  TASK_CONCURRENCY: count('How many tasks of each queue a worker runs at once.', 10),
  TASK_MAX_CRASHES: count(
    'How often the process that runs a task may die before the task has failed.',
    5,
  ),
  TASK_PAYLOAD_LIMIT: count('The largest request of a task, in bytes.', 1_048_576),
  QUEUES: Type.Boolean({
    description: 'Serve /_/queues, where tasks can be seen and changed by anybody.',
    derived: 'false in production, otherwise true',
  }),
}
