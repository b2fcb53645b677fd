import type { Command } from '@oclif/core/command'

/** A command as `manage` lists it: its module is loaded when it is run or its help is asked for. */
export interface CommandEntry {
  summary: string
  load(): Promise<{ default: typeof Command }>
}

/** Every command of the kit, in the order of `manage --help`. Words are joined by `:` as in oclif's ids. */
export const commands: Readonly<Record<string, CommandEntry>> = {
  new: { summary: 'Make a new service', load: () => import('./new.ts') },
  make: {
    summary: 'Write the first code of a module, a resource, a plugin …',
    load: () => import('./make.ts'),
  },
  upgrade: {
    summary: 'Bring what a new service has today into this one',
    load: () => import('./upgrade.ts'),
  },
  serve: { summary: 'Serve HTTP', load: () => import('./serve.ts') },
  worker: { summary: 'Run tasks and schedules', load: () => import('./worker.ts') },
  migrate: { summary: 'Apply the migrations that are pending', load: () => import('./migrate.ts') },
  'migrate:status': {
    summary: 'List the migrations and which are applied',
    load: () => import('./migrate/status.ts'),
  },
  'migrate:rollback': {
    summary: 'Take back the last migrations',
    load: () => import('./migrate/rollback.ts'),
  },
  'migrate:verify': {
    summary: 'Compare models, migrations and tables',
    load: () => import('./migrate/verify.ts'),
  },
  'migrate:squash': {
    summary: 'Write one migration that replaces many',
    load: () => import('./migrate/squash.ts'),
  },
  makemigrations: {
    summary: 'Write the migration that the models ask for',
    load: () => import('./makemigrations.ts'),
  },
  seed: { summary: 'Load the data of seeds/', load: () => import('./seed.ts') },
  inspectdb: {
    summary: 'Write models from the tables of a database',
    load: () => import('./inspectdb.ts'),
  },
  client: {
    summary: 'Write the client of an API from its OpenAPI document',
    load: () => import('./client.ts'),
  },
  'db:create': {
    summary: 'Create the database of DATABASE_URL',
    load: () => import('./db/create.ts'),
  },
  'db:drop': { summary: 'Drop the database of DATABASE_URL', load: () => import('./db/drop.ts') },
  'db:reset': {
    summary: 'Drop the database, create it, migrate and seed it',
    load: () => import('./db/reset.ts'),
  },
  'db:dump': { summary: 'Write the database as SQL', load: () => import('./db/dump.ts') },
  'tasks:list': { summary: 'List tasks by where they are', load: () => import('./tasks/list.ts') },
  'tasks:show': {
    summary: 'Show everything that is known of a task',
    load: () => import('./tasks/show.ts'),
  },
  'tasks:retry': { summary: 'Run failed tasks again', load: () => import('./tasks/retry.ts') },
  'tasks:cancel': { summary: 'Cancel a task', load: () => import('./tasks/cancel.ts') },
  'tasks:remove': { summary: 'Remove tasks', load: () => import('./tasks/remove.ts') },
  'tasks:pause': { summary: 'Pause queues', load: () => import('./tasks/pause.ts') },
  'tasks:resume': { summary: 'Resume queues', load: () => import('./tasks/resume.ts') },
  'tasks:stats': {
    summary: 'Count the tasks of each queue',
    load: () => import('./tasks/stats.ts'),
  },
  'outbox:list': {
    summary: 'List tasks that are on their way to Redis',
    load: () => import('./outbox/list.ts'),
  },
  'outbox:retry': {
    summary: 'Deliver tasks again that were refused for good',
    load: () => import('./outbox/retry.ts'),
  },
  'outbox:remove': {
    summary: 'Remove tasks that are on their way to Redis',
    load: () => import('./outbox/remove.ts'),
  },
  'schedule:list': {
    summary: 'List the schedules and when they come next',
    load: () => import('./schedule/list.ts'),
  },
  'schedule:run': { summary: 'Run a schedule now', load: () => import('./schedule/run.ts') },
  'schedule:pause': { summary: 'Pause a schedule', load: () => import('./schedule/pause.ts') },
  'schedule:resume': { summary: 'Resume a schedule', load: () => import('./schedule/resume.ts') },
  'schedule:set': {
    summary: 'Make a schedule at run time, or change it',
    load: () => import('./schedule/set.ts'),
  },
  'schedule:remove': {
    summary: 'Remove a schedule that was made at run time',
    load: () => import('./schedule/remove.ts'),
  },
  'cache:stats': {
    summary: 'Tell how much is cached, and how often that has helped',
    load: () => import('./cache/stats.ts'),
  },
  'cache:get': {
    summary: 'Print what is cached under a key',
    load: () => import('./cache/get.ts'),
  },
  'cache:invalidate': {
    summary: 'Take away what is cached under tags',
    load: () => import('./cache/invalidate.ts'),
  },
  'cache:clear': { summary: 'Take away what is cached', load: () => import('./cache/clear.ts') },
  shell: { summary: 'Open a REPL with app, db and resources', load: () => import('./shell.ts') },
  dbshell: { summary: "Open the database's own shell", load: () => import('./dbshell.ts') },
  routes: { summary: 'List the routes', load: () => import('./routes.ts') },
  resources: { summary: 'List the resources', load: () => import('./resources.ts') },
  plugins: {
    summary: 'List the plugins and what each brings',
    load: () => import('./plugins.ts'),
  },
  'contract:export': {
    summary: 'Write what callers of the service know of it',
    load: () => import('./contract/export.ts'),
  },
  'contract:diff': {
    summary: 'Tell what of a changed contract breaks its callers',
    load: () => import('./contract/diff.ts'),
  },
  call: { summary: 'Call a resource', load: () => import('./call.ts') },
  replay: {
    summary: 'Call resources again as the log tells, and compare',
    load: () => import('./replay.ts'),
  },
  config: {
    summary: 'Show the configuration and where it came from',
    load: () => import('./config.ts'),
  },
  'rollout-test': {
    summary: 'Test that a new release loses no request',
    load: () => import('./rollout-test.ts'),
  },
  check: { summary: 'Check that the service is fit to run', load: () => import('./check.ts') },
  deploy: {
    summary: 'Write the files that a platform runs the service by',
    load: () => import('./deploy.ts'),
  },
}

/** What the commands below a word are for. */
export const topics: Readonly<Record<string, { readonly description: string }>> = {
  cache: { description: 'Look at what is cached, and take it away' },
  contract: { description: 'Write the contract of the service, and compare two of them' },
  db: { description: 'Create, drop, reset and dump the database' },
  migrate: { description: 'Apply, list and take back migrations' },
  schedule: { description: 'List, run, pause and resume schedules' },
  outbox: { description: 'List, deliver again and remove tasks on their way to Redis' },
  tasks: { description: 'List, retry, cancel and remove tasks, pause queues' },
}
