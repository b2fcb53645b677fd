import type { Command } from '@oclif/core/command'

/** A command as `manage` lists it: its module is loaded when it is run or its help is asked for. */
export interface CommandEntry {
  summary: string
  load(): Promise<{ default: typeof Command }>
}

/** Every command of the kit, in the order of `manage --help`. Words are joined by `:` as in oclif's ids. */
export const commands: Readonly<Record<string, CommandEntry>> = {
  serve: { summary: 'Serve HTTP', load: () => import('./serve.ts') },
  migrate: { summary: 'Apply the migrations that are pending', load: () => import('./migrate.ts') },
  'migrate:status': {
    summary: 'List the migrations and which are applied',
    load: () => import('./migrate/status.ts'),
  },
  'migrate:rollback': {
    summary: 'Take back the last migrations',
    load: () => import('./migrate/rollback.ts'),
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
  shell: { summary: 'Open a REPL with app, db and resources', load: () => import('./shell.ts') },
  dbshell: { summary: "Open the database's own shell", load: () => import('./dbshell.ts') },
  routes: { summary: 'List the routes', load: () => import('./routes.ts') },
  resources: { summary: 'List the resources', load: () => import('./resources.ts') },
  call: { summary: 'Call a resource', load: () => import('./call.ts') },
  config: {
    summary: 'Show the configuration and where it came from',
    load: () => import('./config.ts'),
  },
  check: { summary: 'Check that the service is fit to run', load: () => import('./check.ts') },
}
