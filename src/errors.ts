import { format } from 'node:util'

/** One thing that is wrong with an input: where it is, and what was expected there. */
export interface ErrorDetail {
  /** JSON pointer into the input (RFC 6901), `''` for the input itself. */
  path: string
  message: string
}

export interface ErrorOptions {
  /** The error that led to this one: logged, never sent to a client. */
  cause?: unknown
  /** What is wrong, place by place; sent to the client as `errors`. */
  errors?: readonly ErrorDetail[]
  /** What a client needs to go on, as JSON: where to log in; sent to the client as `data`. Default: null. */
  data?: unknown
}

/** What the placeholders of an error's message were filled with. */
export const ARGUMENTS: unique symbol = Symbol.for('plinth.error.arguments')
const ORIGINAL: unique symbol = Symbol.for('plinth.error.original')

/**
 * An error that its receiver may see: a code of the catalogue, the HTTP status it is answered with and a
 * message that says what was got, what was wanted and what to do. Every other error is answered as `INTERNAL`.
 */
export class PlinthError extends Error {
  readonly code: string
  readonly statusCode: number
  readonly errors: readonly ErrorDetail[] | null
  readonly data: unknown;
  // Symbols are in no log.
  [ARGUMENTS]: readonly unknown[] | null = null;
  [ORIGINAL]: PlinthError | null = null

  constructor(code: string, statusCode: number, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'PlinthError'
    this.code = code
    this.statusCode = statusCode
    this.errors = options.errors ?? null
    this.data = options.data ?? null
  }

  /** Recognised by its shape, so that a second copy of the package in one process does no harm. */
  static is(error: unknown): error is PlinthError {
    return error instanceof Error && error.name === 'PlinthError'
  }
}

/** The same error, told in other words. */
export function inOtherWords(
  error: PlinthError,
  message: string,
  errors: readonly ErrorDetail[] | null,
): PlinthError {
  const { code, statusCode, data } = error
  const told = new PlinthError(code, statusCode, message, { data, ...(errors && { errors }) })
  told[ORIGINAL] = error
  return told
}

/** The error as it was made, whatever words it is told in. */
export function originalOf(error: PlinthError): PlinthError {
  return error[ORIGINAL] ?? error
}

/** Makes an error of one kind; `args` fill the placeholders of its message in order. */
export interface ErrorFactory<Args extends readonly unknown[]> {
  (...args: Args): PlinthError
  readonly code: string
  readonly statusCode: number
  /** The same with a cause, with the places that are wrong, or with data. */
  with(options: ErrorOptions, ...args: Args): PlinthError
}

/**
 * Declares a kind of error. A service declares its own beside the ones of this file.
 *
 * @param code upper case words joined by `_`, unique, never used again once retired
 * @param statusCode the HTTP status, 400 to 599; errors that only a command meets have 500
 * @param message what happened, what was expected, what to do; `%s` for each argument (`util.format`)
 * @throws {RangeError} where the status is not that of an error
 */
export function defineError<Args extends readonly unknown[] = []>(
  code: string,
  statusCode: number,
  message: string,
): ErrorFactory<Args> {
  if (!Number.isInteger(statusCode) || statusCode < 400 || statusCode > 599)
    throw new RangeError(`The error ${code} has the status ${statusCode}; expected 400 to 599`)
  const make = (options: ErrorOptions, args: Args) => {
    const error = new PlinthError(code, statusCode, format(message, ...args), options)
    error[ARGUMENTS] = args
    return error
  }
  return Object.assign((...args: Args) => make({}, args), {
    code,
    statusCode,
    with: (options: ErrorOptions, ...args: Args) => make(options, args),
  })
}

/** The catalogue: every error of the kit, described in docs/errors.md. */
export const errors = {
  // What a client did
  BAD_REQUEST: defineError<[problem: string]>('BAD_REQUEST', 400, 'The request cannot be read: %s'),
  INVALID_REQUEST: defineError<[resource: string]>(
    'INVALID_REQUEST',
    400,
    'The request to %s is not valid; see errors',
  ),
  TASK_REFUSED: defineError<[resource: string, problem: string]>(
    'TASK_REFUSED',
    400,
    'This call of %s cannot become a task: %s; send it without the header X-Async-Task',
  ),
  UNAUTHENTICATED: defineError('UNAUTHENTICATED', 401, 'This needs a user: authenticate first'),
  FORBIDDEN: defineError('FORBIDDEN', 403, 'The user may not do this'),
  BK_PERMISSION_DENIED: defineError(
    'BK_PERMISSION_DENIED',
    403,
    'The permission centre of BlueKing refuses this; data tells what to apply for',
  ),
  CROSS_ORIGIN: defineError(
    'CROSS_ORIGIN',
    403,
    'A change with a login cookie has to come from a page of this service: the browser said it was another, or did not say; a client that is no browser sends the header Origin',
  ),
  NOT_FOUND: defineError<[what: string, key: unknown]>('NOT_FOUND', 404, 'There is no %s %s'),
  ROUTE_NOT_FOUND: defineError<[method: string, path: string]>(
    'ROUTE_NOT_FOUND',
    404,
    'Nothing answers %s %s',
  ),
  METHOD_NOT_ALLOWED: defineError<[method: string, path: string, allowed: string]>(
    'METHOD_NOT_ALLOWED',
    405,
    '%s is not possible on %s; possible: %s',
  ),
  REQUEST_TIMEOUT: defineError(
    'REQUEST_TIMEOUT',
    408,
    'The request was not sent completely in time; send it again',
  ),
  CONFLICT: defineError<[problem: string]>('CONFLICT', 409, '%s'),
  LOCK_HELD: defineError<[name: string, milliseconds: number]>(
    'LOCK_HELD',
    409,
    'The lock %s was not free within %s ms; try again later',
  ),
  TASK_NOT_FOUND: defineError<[id: string]>('TASK_NOT_FOUND', 404, 'There is no task %s'),
  USER_UNKNOWN: defineError<[id: string, problem: string]>(
    'USER_UNKNOWN',
    403,
    'Nothing can be done for the user %s: %s',
  ),
  PRECONDITION_FAILED: defineError(
    'PRECONDITION_FAILED',
    412,
    'It has changed since it was read: read it again, then repeat the change',
  ),
  PRECONDITION_REQUIRED: defineError(
    'PRECONDITION_REQUIRED',
    428,
    'A change has to say which state it changes: read it, and send its ETag as If-Match',
  ),
  PAYLOAD_TOO_LARGE: defineError<[limit: number]>(
    'PAYLOAD_TOO_LARGE',
    413,
    'The request body is over the limit of %s bytes',
  ),
  UNSUPPORTED_MEDIA_TYPE: defineError<[got: string]>(
    'UNSUPPORTED_MEDIA_TYPE',
    415,
    'The content type %s is not read here; send application/json',
  ),
  UNSUPPORTED_ENCODING: defineError<[got: string]>(
    'UNSUPPORTED_ENCODING',
    415,
    'The content encoding %s is not read here; send the body in one that Accept-Encoding of this answer names',
  ),
  RANGE_NOT_SATISFIABLE: defineError<[range: string, size: number]>(
    'RANGE_NOT_SATISFIABLE',
    416,
    'The range %s has nothing of the %s bytes that there are; ask for one that begins before their end, or for all',
  ),
  EXPECTATION_FAILED: defineError<[got: string]>(
    'EXPECTATION_FAILED',
    417,
    'The expectation %s cannot be met; send no Expect, or 100-continue',
  ),
  TOO_MANY_REQUESTS: defineError(
    'TOO_MANY_REQUESTS',
    429,
    'There were too many requests; try again when Retry-After says, or later',
  ),
  HEADERS_TOO_LARGE: defineError(
    'HEADERS_TOO_LARGE',
    431,
    'The request line and headers are too large; shorten the URL, headers or cookies',
  ),

  // What went wrong in the service
  INTERNAL: defineError(
    'INTERNAL',
    500,
    'The service failed; its log tells why under this request id',
  ),
  INVALID_RESPONSE: defineError<[resource: string]>(
    'INVALID_RESPONSE',
    500,
    'What %s returned does not fit its response schema; see errors',
  ),
  USER_INVALID: defineError(
    'USER_INVALID',
    500,
    'It cannot be told who asks: a user needs an id that is a text and not empty; the log of the service tells what there is, and identify of the service is where to mend it',
  ),
  AUTH_UNAVAILABLE: defineError<[problem: string]>(
    'AUTH_UNAVAILABLE',
    503,
    'Who asks cannot be found out right now: %s; try again later',
  ),
  USER_UNAVAILABLE: defineError(
    'USER_UNAVAILABLE',
    503,
    'The user for whom it is done could not be loaded; the log of the service tells why',
  ),
  DATABASE_UNAVAILABLE: defineError<[problem: string]>(
    'DATABASE_UNAVAILABLE',
    503,
    'The database cannot be used right now: %s',
  ),
  DATABASE_BUSY: defineError<[waited: number]>(
    'DATABASE_BUSY',
    503,
    'No database connection was free within %s ms; try again later',
  ),
  CACHE_UNAVAILABLE: defineError<[problem: string]>(
    'CACHE_UNAVAILABLE',
    503,
    'Redis cannot be used right now: %s',
  ),
  TASKS_UNAVAILABLE: defineError<[problem: string]>(
    'TASKS_UNAVAILABLE',
    503,
    'No task can be added or looked up right now: %s',
  ),
  STORAGE_FULL: defineError(
    'STORAGE_FULL',
    507,
    'There is no room left for this file right now; nothing of it was kept, try again later',
  ),
  TASK_CANCELLED: defineError<[id: string]>(
    'TASK_CANCELLED',
    409,
    'The task %s was cancelled before it had finished',
  ),
  TASK_EXISTS: defineError<[id: string]>(
    'TASK_EXISTS',
    409,
    'Nothing was added: the task %s, which others were to wait for, is there already. Give it another key, or none',
  ),
  TASK_KEY_REUSED: defineError<[resource: string, id: string]>(
    'TASK_KEY_REUSED',
    409,
    'No task %s was added: %s has the same key and another input. Give it another key, or the same input',
  ),
  TASK_FAILED: defineError<[id: string, problem: string]>(
    'TASK_FAILED',
    500,
    'The task %s failed: %s',
  ),
  TASK_UNDELIVERED: defineError<[id: string]>(
    'TASK_UNDELIVERED',
    500,
    'The task %s was refused where tasks are kept, and will not run unless somebody has it delivered again: manage outbox retry',
  ),
  TASK_UNKNOWN: defineError<[resource: string, hours: number]>(
    'TASK_UNKNOWN',
    500,
    'No release that has a resource %s has come within %s h; name it in aliases of the resource that it has become',
  ),
  TASK_TOO_LARGE: defineError<[what: string, bytes: number, limit: number]>(
    'TASK_TOO_LARGE',
    500,
    'The %s of the task has %s bytes, of which at most %s are kept; keep it elsewhere, and tell where it is',
  ),
  TASK_CRASHED: defineError<[id: string, times: number]>(
    'TASK_CRASHED',
    500,
    'The task %s is given up: the process that ran it has died %s times',
  ),
  UPSTREAM_UNAVAILABLE: defineError<[api: string]>(
    'UPSTREAM_UNAVAILABLE',
    503,
    'The system %s, which this needs, cannot be used right now; try again later',
  ),
  UPSTREAM_TIMEOUT: defineError<[api: string]>(
    'UPSTREAM_TIMEOUT',
    504,
    'The system %s, which this needs, has not answered in time; try again later',
  ),
  UPSTREAM_REFUSED: defineError<[api: string]>(
    'UPSTREAM_REFUSED',
    502,
    'The system %s, which this needs, has refused it; the log of the service tells why under this request id',
  ),
  UPSTREAM_INVALID: defineError<[api: string]>(
    'UPSTREAM_INVALID',
    502,
    'The system %s, which this needs, has answered with something else than was agreed; the log of the service tells what under this request id',
  ),
  IDEMPOTENCY_KEY_INVALID: defineError(
    'IDEMPOTENCY_KEY_INVALID',
    400,
    'The header Idempotency-Key is not usable; expected a text of 1 to 255 characters, in quotes',
  ),
  IDEMPOTENCY_KEY_MISSING: defineError(
    'IDEMPOTENCY_KEY_MISSING',
    400,
    'This is not done without the header Idempotency-Key; send a new random one with each request that is not a repetition',
  ),
  IDEMPOTENCY_KEY_RUNNING: defineError(
    'IDEMPOTENCY_KEY_RUNNING',
    409,
    'A request with this Idempotency-Key is being answered right now; try again later',
  ),
  IDEMPOTENCY_KEY_REUSED: defineError(
    'IDEMPOTENCY_KEY_REUSED',
    422,
    'Another request was made with this Idempotency-Key; send another key',
  ),
  IDEMPOTENCY_UNAVAILABLE: defineError(
    'IDEMPOTENCY_UNAVAILABLE',
    503,
    'Whether this was done before cannot be known right now; nothing was done, try again later',
  ),
  OVERLOADED: defineError(
    'OVERLOADED',
    503,
    'This process has more to do than it can right now; nothing was done, try again later',
  ),
  NOT_READY: defineError<[problems: string]>('NOT_READY', 503, 'This process cannot serve now: %s'),
  DEADLINE_EXCEEDED: defineError<[milliseconds: number]>(
    'DEADLINE_EXCEEDED',
    504,
    'There was no answer within the deadline of %s ms',
  ),

  // What is wrong with a service, found when it starts or by a command
  CONFIG_INVALID: defineError<[problems: string]>(
    'CONFIG_INVALID',
    500,
    'The configuration is not valid:\n%s',
  ),
  DATABASE_URL_INVALID: defineError<[problem: string]>(
    'DATABASE_URL_INVALID',
    500,
    'DATABASE_URL is not usable: %s; expected mysql://user:password@host:3306/name or sqlite:./path/to/file.db',
  ),
  REDIS_URL_INVALID: defineError<[problem: string]>(
    'REDIS_URL_INVALID',
    500,
    'REDIS_URL is not usable: %s; expected redis://user:password@host:6379/0',
  ),
  REDIS_UNUSABLE: defineError<[plugin: string, problem: string]>(
    'REDIS_UNUSABLE',
    500,
    'plinth/plugins/%s cannot use this Redis: %s',
  ),
  DATABASE_MISSING: defineError(
    'DATABASE_MISSING',
    500,
    'No database is attached: set DATABASE_URL, or register plinth/plugins/database',
  ),
  TRANSACTION_BYPASSED: defineError(
    'TRANSACTION_BYPASSED',
    500,
    'A query on the database itself was made within a transaction of it, and SQLite has one connection, which the transaction holds: use context.db or what the transaction was handed as, or wait for its end',
  ),
  CONTEXT_MISSING: defineError<[resource: string]>(
    'CONTEXT_MISSING',
    500,
    '%s was called outside a request; call it through app.resources, or within app.run(fn)',
  ),
  RESOURCE_INVALID: defineError<[resource: string, problem: string]>(
    'RESOURCE_INVALID',
    500,
    'The resource %s cannot be served: %s',
  ),
  RESOURCE_UNLISTED: defineError<[summary: string]>(
    'RESOURCE_UNLISTED',
    500,
    'The resource "%s" is in no module of this app, so it has no name here: list it in defineModule({ resources }); with expose: false it has no route',
  ),
  QUEUES_UNPROTECTED: defineError<[path: string]>(
    'QUEUES_UNPROTECTED',
    500,
    'Anybody could read and change tasks at %s: give the service queues.protect, a hook that refuses strangers, or set QUEUES=false',
  ),
  REDIS_MISSING: defineError<[what: string, variables: string]>(
    'REDIS_MISSING',
    500,
    '%s of each process are in its own memory, where no other can see them; set %s',
  ),
  PLUGIN_OPTION_INVALID: defineError<
    [plugin: string, option: string, got: string, expected: string]
  >(
    'PLUGIN_OPTION_INVALID',
    500,
    'plinth/plugins/%s cannot be registered: its option %s is %s, expected %s',
  ),
  PLUGIN_TWICE: defineError<[plugin: string]>(
    'PLUGIN_TWICE',
    500,
    "The plugin %s cannot be registered here, because it, or what it adds, is there already; register a second one in a context of its own: app.register(async (scope) => …), or, where what it adds has its name, under another: { name: '…' }",
  ),
  PLUGIN_NAME_TAKEN: defineError<[plugin: string, name: string]>(
    'PLUGIN_NAME_TAKEN',
    500,
    'The plugin %s cannot be registered as %s, because the app has a readiness check of that name; give this one another with its option name',
  ),
  PLUGIN_ORDER: defineError<[plugin: string, other: string, first: string]>(
    'PLUGIN_ORDER',
    500,
    'plinth/plugins/%s is registered before plinth/plugins/%s and would not use it; register %s first',
  ),
  PLUGIN_INVALID: defineError<[plugin: string, problem: string]>(
    'PLUGIN_INVALID',
    500,
    'The plugin %s is not valid: %s',
  ),
  PLUGIN_MISSING: defineError<[plugin: string, needed: string, remedy: string]>(
    'PLUGIN_MISSING',
    500,
    'The plugin %s needs the plugin %s, which is not there: %s',
  ),
  PLUGIN_CIRCLE: defineError<[plugins: string]>(
    'PLUGIN_CIRCLE',
    500,
    'The plugins %s wait for one another: take a name out of needs or after of one of them',
  ),
  PACKAGE_MISSING: defineError<[plugin: string, install: string]>(
    'PACKAGE_MISSING',
    500,
    'plinth/plugins/%s needs what is not installed here: npm install %s',
  ),
  CACHE_MISSING: defineError(
    'CACHE_MISSING',
    500,
    'There is no cache: register plinth/plugins/cache',
  ),
  API_INVALID: defineError<[api: string, problem: string]>(
    'API_INVALID',
    500,
    'The API %s cannot be used: %s',
  ),
  BK_PLATFORM_AUTH_MISSING: defineError<[api: string]>(
    'BK_PLATFORM_AUTH_MISSING',
    500,
    'The API %s is called in the name of the platform, which has none: set BK_PLATFORM_ACCESS_TOKEN or BK_PLATFORM_USERNAME',
  ),
  REMOTE_INVALID: defineError<[resource: string, problem: string]>(
    'REMOTE_INVALID',
    500,
    'The resource %s of another service cannot be used so: %s',
  ),
  UPSTREAM_MISSING: defineError(
    'UPSTREAM_MISSING',
    500,
    'Nothing here calls other systems: register plinth/plugins/upstream',
  ),
  TASKS_MISSING: defineError(
    'TASKS_MISSING',
    500,
    'There are no tasks here: register plinth/plugins/tasks',
  ),
  TASK_INVALID: defineError<[resource: string, problem: string]>(
    'TASK_INVALID',
    500,
    'The task %s cannot be enqueued: %s',
  ),
  SCHEDULE_INVALID: defineError<[resource: string, problem: string]>(
    'SCHEDULE_INVALID',
    500,
    'The schedule of %s cannot be used: %s',
  ),
  OUTBOX_MISSING: defineError<[problem: string]>(
    'OUTBOX_MISSING',
    500,
    'A task cannot be enqueued within a transaction, because the table plinth_outbox could not be made: %s; let the user of DATABASE_URL create it',
  ),
  TASK_TABLES_MISSING: defineError<[problem: string]>(
    'TASK_TABLES_MISSING',
    500,
    'Tasks cannot be kept in the database, because their tables (plinth_task, plinth_task_place, plinth_task_queue, plinth_schedule) could not be made: %s; let the user of DATABASE_URL create tables',
  ),
  RESOURCE_UNKNOWN: defineError<[name: string, hint: string]>(
    'RESOURCE_UNKNOWN',
    500,
    'There is no resource %s; %s',
  ),
  USAGE_INVALID: defineError<[problem: string]>('USAGE_INVALID', 500, '%s'),
  SERVICE_NOT_FOUND: defineError<[start: string]>(
    'SERVICE_NOT_FOUND',
    500,
    'No service in %s or above it: expected a package.json with plinth among its dependencies and a src/service.ts',
  ),
  SERVICE_BROKEN: defineError<[file: string, problem: string]>(
    'SERVICE_BROKEN',
    500,
    '%s cannot be loaded: %s',
  ),
  SERVICE_INVALID: defineError<[place: string, key: string, known: string]>(
    'SERVICE_INVALID',
    500,
    '%s has %s, which nothing reads; expected one of %s',
  ),
  PORT_IN_USE: defineError<[address: string]>(
    'PORT_IN_USE',
    500,
    '%s is already in use; stop what listens there, or choose another with --port or PORT',
  ),
  SOCKET_IN_USE: defineError<[path: string]>(
    'SOCKET_IN_USE',
    500,
    'A process answers on the socket %s; stop it, or choose another with --socket',
  ),
  ADDRESS_UNUSABLE: defineError<[address: string, problem: string]>(
    'ADDRESS_UNUSABLE',
    500,
    'The server cannot listen on %s (%s); choose an address of this machine with --host or HOST, and a port that it may use',
  ),
  SOCKET_UNUSABLE: defineError<[socket: string, problem: string]>(
    'SOCKET_UNUSABLE',
    500,
    'The server cannot listen on %s (%s); expected a path of at most 107 bytes in a folder that it may write to, or one socket that systemd passes',
  ),
  MODEL_INVALID: defineError<[table: string, problem: string]>(
    'MODEL_INVALID',
    500,
    'The model %s cannot be used: %s',
  ),
  MIGRATION_INVALID: defineError<[file: string, problem: string]>(
    'MIGRATION_INVALID',
    500,
    'The migration %s cannot be used: %s',
  ),
  MIGRATION_FAILED: defineError<[name: string, problem: string, state: string]>(
    'MIGRATION_FAILED',
    500,
    'The migration %s failed: %s. %s',
  ),
  MIGRATION_LOCKED: defineError<[seconds: number, holder: string]>(
    'MIGRATION_LOCKED',
    500,
    'Another process held the migration lock for %s s (%s); wait for it to end, then run this again',
  ),
  MIGRATION_LEASE_LOST: defineError(
    'MIGRATION_LEASE_LOST',
    500,
    'The lease of the migrations could not be renewed in time, so another process may migrate now; run this again, it goes on where it stopped',
  ),
  MIGRATION_INTERRUPTED: defineError<[name: string, report: string]>(
    'MIGRATION_INTERRUPTED',
    500,
    'The migration %s was interrupted. %s',
  ),
  MIGRATION_CHANGED: defineError<[file: string, name: string]>(
    'MIGRATION_CHANGED',
    500,
    'The migration %s has been changed since it was applied: restore it, and write a new one for the change; where only its form is another, run manage migrate --accept-changed %s',
  ),
  MIGRATION_OUT_OF_ORDER: defineError<[name: string, applied: string]>(
    'MIGRATION_OUT_OF_ORDER',
    500,
    'The migration %s comes before %s, which is applied already: give it the next free number, or run manage migrate --allow-out-of-order',
  ),
  MIGRATION_UNKNOWN: defineError<[name: string, known: string]>(
    'MIGRATION_UNKNOWN',
    500,
    'There is no migration %s; there are: %s',
  ),
  MIGRATION_RECORDS: defineError<[problem: string]>(
    'MIGRATION_RECORDS',
    500,
    'The tables that record migrations cannot be used: %s; the user of DATABASE_URL has to be allowed to create tables',
  ),
  DATABASE_NEWER: defineError<[names: string]>(
    'DATABASE_NEWER',
    500,
    'The database has migrations that this release does not know: %s; deploy a release that has them, or take them back with it first',
  ),
  MIGRATION_PENDING: defineError<[names: string]>(
    'MIGRATION_PENDING',
    500,
    'These migrations have not been applied: %s; run manage migrate first',
  ),
  MIGRATION_UNSUPPORTED: defineError<[change: string]>(
    'MIGRATION_UNSUPPORTED',
    500,
    'No operation changes %s; write that step by hand: manage makemigrations --empty, with runSql and what it does to the schema as its state',
  ),
  MIGRATION_UNCLEAR: defineError<[candidates: string]>(
    'MIGRATION_UNCLEAR',
    500,
    'This may have been renamed, or dropped and added:\n%s\nAdd those flags for what was renamed, and --no-rename for the rest',
  ),
  MIGRATION_DROPS: defineError<[tables: string]>(
    'MIGRATION_DROPS',
    500,
    'No model describes what the migrations have made: %s. The migration would drop that with all its rows: add --allow-drop where it shall, else bring the model back',
  ),
  SCHEMA_STALE: defineError<[file: string, problem: string]>(
    'SCHEMA_STALE',
    500,
    '%s is not the schema that the migrations lead to: %s; see that the migrations are right, then run manage makemigrations --rebuild',
  ),
  MODELS_MISSING: defineError<[file: string]>(
    'MODELS_MISSING',
    500,
    '%s names no models; expected defineService({ models: [City, …] })',
  ),
  SEED_INVALID: defineError<[file: string, problem: string]>(
    'SEED_INVALID',
    500,
    'The seed %s cannot be used: %s',
  ),
  SEED_UNKNOWN: defineError<[name: string, known: string]>(
    'SEED_UNKNOWN',
    500,
    'There is no seed %s; there are: %s',
  ),
  SEED_FAILED: defineError<[name: string, problem: string, state: string]>(
    'SEED_FAILED',
    500,
    'The seed %s failed: %s. %s',
  ),
  CLIENT_MISSING: defineError<[programs: string]>(
    'CLIENT_MISSING',
    500,
    'The program %s is not on this machine (PATH); install it, then run this again',
  ),
  PRODUCTION_REFUSED: defineError<[action: string]>(
    'PRODUCTION_REFUSED',
    500,
    'This is production and %s; add --force to do it all the same',
  ),
  ROLLOUT_UNTESTED: defineError<[problem: string]>(
    'ROLLOUT_UNTESTED',
    500,
    'The rollout cannot be tested: %s',
  ),
  CONFIRMATION_MISSING: defineError<[loss: string, remedy: string]>(
    'CONFIRMATION_MISSING',
    500,
    'Nothing has been done: %s; %s',
  ),
  DATABASE_SHARED: defineError<[loss: string]>(
    'DATABASE_SHARED',
    500,
    'Nothing has been done: other services have tables in this database (sharesDatabase), and %s; take away what is this service’s by hand, or by manage migrate rollback',
  ),
  DUMP_FAILED: defineError<[program: string, ending: string]>(
    'DUMP_FAILED',
    500,
    'The dump is not complete: %s ended with %s; it says above why',
  ),
  TABLE_UNKNOWN: defineError<[names: string, known: string]>(
    'TABLE_UNKNOWN',
    500,
    'The database has no table %s; it has: %s',
  ),
  FILE_EXISTS: defineError<[files: string, remedy: string]>(
    'FILE_EXISTS',
    500,
    'Nothing has been written, because this is there already: %s; %s',
  ),
  OPENAPI_INVALID: defineError<[source: string, problem: string]>(
    'OPENAPI_INVALID',
    500,
    'The OpenAPI document %s cannot be used: %s',
  ),
  PROCESSES_INVALID: defineError<[problem: string]>(
    'PROCESSES_INVALID',
    500,
    'The processes of the service cannot be run: %s',
  ),
  DEPLOY_REFUSED: defineError<[file: string, problem: string]>(
    'DEPLOY_REFUSED',
    500,
    '%s cannot be written: %s',
  ),
  TEMPLATE_UNKNOWN: defineError<[folder: string, problem: string]>(
    'TEMPLATE_UNKNOWN',
    500,
    'What the service in %s was made from cannot be read in .plinth/template.json: %s; take the file back from git, or name the answers with --adopt',
  ),
  TEMPLATE_NEWER: defineError<[made: string, here: string]>(
    'TEMPLATE_NEWER',
    500,
    'The service was made by plinth %s, and this is the older %s: install that one, or a later',
  ),
  UNCOMMITTED: defineError<[files: string]>(
    'UNCOMMITTED',
    500,
    'Nothing has been changed, because what is not committed could not be told from it: %s; commit it, or add --force',
  ),
  FILE_UNWRITABLE: defineError<[file: string, problem: string]>(
    'FILE_UNWRITABLE',
    500,
    '%s cannot be written: %s',
  ),
} as const

/**
 * Ends a resource with 404.
 *
 * @throws {PlinthError} NOT_FOUND, always
 */
export function notFound(what: string, key: unknown): never {
  throw errors.NOT_FOUND(what, key)
}
