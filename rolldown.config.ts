import { existsSync, globSync, readFileSync, rmSync } from 'node:fs'
import { join, posix, relative } from 'node:path'
import { defineConfig } from 'rolldown'

// Writes dist/: a module costs a third of a millisecond of CPU to load, and the kit with TypeBox and Kysely is a thousand of
// them (docs/decisions/0021-built-as-few-files.md).

const ROOT = import.meta.dirname
const { exports, imports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))

/** What is imported by its own path: by services, by bin/manage, by oclif, or as a file of a folder. */
const entries = [
  ...[...Object.values(exports), imports['#manage'], imports['#task-thread']]
    .map((one) => (one as { 'plinth-source'?: string })['plinth-source'])
    .flatMap((path) => (path ? globSync(path.replace('./', ''), { cwd: ROOT }) : [])),
  'commands/_selected.ts',
  // Timed alone: bench/migrate-child.ts.
  'src/database/migration/migrator.ts',
  ...globSync('{commands/_users/**,src/auth/migrations}/*.ts', { cwd: ROOT }),
].map((path) => path.slice(0, -'.ts'.length))

/**
 * Packages whose code is in dist/: two that consist of hundreds of modules, whose types are read from where they are installed; and two of whose types nobody sees, so that
 * nobody has to install them: what reads code, for `manage make`, and what is 3 MB where 10 kB are needed.
 */
const BUNDLED = ['typebox', 'kysely', 'acorn', 'lru-cache']

// What every `manage` loads first, beside its entry: it knows which command is meant before it loads anything of that, and what nearly each of them has.
const starting = closure([
  'commands/_main.ts',
  'commands/_service.ts',
  'src/process/load.ts',
  'src/process/log.ts',
])
for (const path of entries) starting.delete(`${path}.ts`)

// Each of these is one file: what `import 'plinth'` loads, what opening its database does besides, what migrating does, and what serving does.
const library = closure(['src/index.ts', 'src/auth/index.ts', 'src/database/sql.ts'])
const opening = closure(
  [
    'src/database/open.ts',
    'src/database/dialect/sqlite/open.ts',
    'src/database/model/query/transform.ts',
  ],
  new Set([...starting, ...library]),
)
const migrating = closure(
  ['src/service-database.ts', 'src/database/migration/migrator.ts', 'src/database/own-tables.ts'],
  new Set([...library, ...opening]),
)
const serving = closure(
  [
    'commands/_serve.ts',
    'commands/_listen.ts',
    'src/process/group.ts',
    'src/process/server-options.ts',
    'src/process/shutdown.ts',
    'src/process/slow-readers.ts',
    'src/http/serve-resources.ts',
    'src/http/request-head.ts',
    'src/http/languages.ts',
    'src/http/task-routes.ts',
    'src/cache/open.ts',
    'src/resource/task-source.ts',
    'src/task/scheduler.ts',
    'src/task/schedule-memory.ts',
    'src/task/task-process.ts',
    'src/task/outbox.ts',
    'src/task/database.ts',
    'src/task/schedule-database.ts',
    'src/task/relay.ts',
    'src/task/deliver.ts',
  ],
  new Set([...library, ...opening]),
)

/** The files that `roots` import, not only types and not only later, but for those in `known`. */
function closure(roots: readonly string[], known: ReadonlySet<string> = new Set()): Set<string> {
  const found = new Set(roots)
  for (const path of found) {
    const text = readFileSync(join(ROOT, path), 'utf8')
    const imported = text.matchAll(
      /^(?:(?:import|export)(?! type\b)[^'"]*? from |import )'(\.[^']+)'/gm,
    )
    for (const [, specifier = ''] of imported) {
      const file = posix.join(posix.dirname(path), specifier)
      if (!known.has(file)) found.add(file)
    }
  }
  return found
}

const within = (files: ReadonlySet<string>) => (id: string) => files.has(relative(ROOT, id))

export default defineConfig({
  input: Object.fromEntries(entries.map((path) => [path, `${path}.ts`])),
  platform: 'node',
  external: (id) => /^[^./]/.test(id) && !BUNDLED.includes(id),
  // What is loaded later in one place, and with the rest in another, is with the rest.
  checks: { ineffectiveDynamicImport: false },
  plugins: [
    {
      name: 'clean',
      buildStart() {
        for (const path of globSync('dist/**/*.{js,map}', { cwd: ROOT })) rmSync(join(ROOT, path))
        // What tsc has written of files that are there no more it leaves.
        for (const path of globSync('dist/{commands,plugins,src}/**/*.d.ts', { cwd: ROOT })) {
          const source = path.slice('dist/'.length).replace(/\.d\.ts$/, '.ts')
          if (!existsSync(join(ROOT, source))) rmSync(join(ROOT, path))
        }
      },
    },
    {
      name: 'pages',
      generateBundle() {
        for (const fileName of globSync('src/*/page.html', { cwd: ROOT }))
          this.emitFile({
            type: 'asset',
            fileName,
            source: readFileSync(join(ROOT, fileName), 'utf8'),
          })
      },
    },
    {
      name: 'licences',
      generateBundle(_, bundle) {
        for (const name of BUNDLED) {
          const [file = ''] = globSync(`node_modules/${name}/{LICENSE,license}{,.md}`, {
            cwd: ROOT,
          })
          const source = readFileSync(join(ROOT, file), 'utf8')
          this.emitFile({ type: 'asset', fileName: `chunks/${name}.LICENSE`, source })
          // As large as all of the rest, and nobody mends them here.
          delete bundle[`chunks/${name}.js.map`]
        }
      },
    },
  ],
  output: {
    dir: 'dist',
    sourcemap: true,
    // A stack is told by places alone, and the sources are as large as all that they become.
    sourcemapExcludeSources: true,
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name].js',
    codeSplitting: {
      groups: [
        ...BUNDLED.map((name) => ({
          name,
          test: new RegExp(`/node_modules/${name}/`),
          priority: 3,
        })),
        { name: 'starting', test: within(starting), priority: 3 },
        { name: 'library', test: within(library), priority: 2 },
        { name: 'opening', test: within(opening), priority: 2 },
        { name: 'migrating', test: within(migrating), priority: 1 },
        { name: 'serving', test: within(serving), priority: 1 },
      ],
    },
  },
})
