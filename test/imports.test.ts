import { globSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Who may import whom: a file may import those of its own layer, as far as no rule below forbids it, and those of later ones. */
const LAYERS: readonly RegExp[] = [
  /^commands\//,
  /^src\/template\//,
  /^src\/(check\/|deploy\/|testing\/|index\.ts$)/,
  /^src\/(service|service-database|kit)\.ts$/,
  /^plugins\//,
  /^src\/((plugin(-\w+)?|define-service|own-page)\.ts|process\/|telemetry\/|developer\/|admin\/)/,
  /^src\/openapi\//,
  /^src\/(http|crud|auth|remote)\//,
  /^src\/resource\//,
  /^src\/schema\//,
  /^src\/task\//,
  /^src\/(cache|database|upstream)\//,
  /^src\/config\//,
  /^src\/(abort|deadlines|duration|errors|files|findings|first-use|packages|steady|trace)\.ts$/,
]
const ATTACHED = LAYERS[11] as RegExp

const IMPORT = /(?:^(?:import|export|\}) ?.*?from |^import |import\()'([^']+)'/gm

interface SourceFile {
  path: string
  text: string
  /** Packages, `#names`, and files of the repository by their path. */
  imports: string[]
}

function read(path: string): SourceFile {
  const text = readFileSync(join(root, path), 'utf8')
  return {
    path,
    text,
    imports: importsOf(path, text),
  }
}

function importsOf(path: string, text: string): string[] {
  return Array.from(text.matchAll(IMPORT), ([, specifier = '']) =>
    specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : specifier,
  )
}

const files = ['src', 'plugins', 'commands']
  .flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: root }))
  .map((path) => read(path.replaceAll('\\', '/')))
const known = new Map(files.map((file) => [file.path, file]))

/** Every import for which `isBad` is true, as `file -> what it imports`. */
function findImports(isBad: (path: string, imported: string) => boolean): string[] {
  return files.flatMap(({ path, imports }) =>
    imports.filter((imported) => isBad(path, imported)).map((imported) => `${path} -> ${imported}`),
  )
}

const layerOf = (path: string): number => LAYERS.findIndex((layer) => layer.test(path))

t.test('the files are read as they should be', async (t) => {
  t.ok(files.length > 60)
  t.ok(known.get('plugins/cache.ts')?.imports.includes('src/cache/open.ts'), 'late imports')
  t.ok(known.get('src/resource/call.ts')?.imports.includes('src/resource/contract.ts'), 'types')
  t.ok(known.get('src/crud/list.ts')?.imports.includes('typebox'), 'over several lines')
})

t.test('every file has a layer, and what it imports is there', async (t) => {
  t.strictSame(
    files.map(({ path }) => path).filter((path) => layerOf(path) === -1),
    [],
  )
  t.strictSame(
    findImports(
      (_, imported) =>
        /^(src|plugins|commands|test|examples|bin)\//.test(imported) && !known.has(imported),
    ),
    [],
  )
})

t.test('imports go down the layers', async (t) => {
  t.strictSame(
    findImports((path, imported) => known.has(imported) && layerOf(imported) < layerOf(path)),
    [],
  )
})

t.test('attached resources do not know one another', async (t) => {
  const owner = (path: string) => ATTACHED.exec(path)?.[1]
  t.strictSame(
    findImports((path, imported) => {
      const [from, to] = [owner(path), owner(imported)]
      return from !== undefined && to !== undefined && from !== to
    }),
    [],
  )
})

t.test('tasks know of what is attached the database alone, where they may be kept', async (t) => {
  t.strictSame(
    findImports((path, imported) => {
      const to = ATTACHED.exec(imported)?.[1]
      return /^src\/task\//.test(path) && to !== undefined && to !== 'database'
    }),
    [],
  )
})

t.test('a plugin imports no other plugin', async (t) => {
  t.strictSame(
    findImports((path, imported) => /^plugins\//.test(path) && /^plugins\//.test(imported)),
    [],
  )
})

// src/service.ts and src/service-database.ts only their types: with `createApp` come those of what an app has. A new service has plugins, as any service.
t.test('only the composition knows all plugins', async (t) => {
  t.strictSame(
    findImports(
      (path, imported) =>
        /^plugins\//.test(imported) &&
        ![
          'src/kit.ts',
          'src/service.ts',
          'src/service-database.ts',
          'src/template/service-files.ts',
        ].includes(path),
    ),
    [],
  )
})

t.test('the library neither imports oclif, nor listens, nor exits', async (t) => {
  const library = files.filter(({ path }) => !path.startsWith('commands/'))
  t.strictSame(
    library.filter(({ imports }) => imports.some((name) => /^@oclif\/|^#(?!child$)/.test(name))),
    [],
  )
  t.strictSame(
    library
      .filter(({ text }) => /process\.exit\b|process\.exitCode|\.listen\(/.test(text))
      .map(({ path }) => path),
    [],
  )
})

t.test('who lists the plugins of the kit loads nothing that only some of them need', async (t) => {
  const all = new Set<string>()
  const visit = (path: string): void => {
    if (all.has(path)) return
    all.add(path)
    const text =
      known.get(path)?.text.replaceAll(/^(?:import|export) type [^']*'[^']+'/gm, '') ?? ''
    for (const imported of importsOf(path, text.replaceAll(/import\('[^']+'\)/g, '')))
      visit(imported)
  }
  visit('src/kit.ts')
  t.ok(all.has('plugins/tasks.ts') && all.has('src/plugin.ts') && all.has('typebox'))
  const heavy =
    /^(fastify|pino|find-my-way|@fastify|@bull-board|@opentelemetry|bullmq|ioredis|mysql2|prom-client|undici|cockatiel)/
  const inner =
    /^src\/(openapi|telemetry|cache\/open|database\/dialect\/(mysql|sqlite)\/(?!errors)|http\/(route|serve-)|task\/task-process)/
  t.strictSame(
    [...all].filter((one) => (heavy.test(one) && one !== 'fastify-plugin') || inner.test(one)),
    [],
  )
})

t.test('nothing imports itself by a detour, not even for its types', async (t) => {
  t.strictSame(findCycles(), [])
})

/** Depth first: a file that is met again on the way to itself closes a cycle. */
function findCycles(): string[] {
  const cycles: string[] = []
  const done = new Set<string>()
  const visit = (path: string, way: readonly string[]): void => {
    const start = way.indexOf(path)
    if (start !== -1) {
      cycles.push([...way.slice(start), path].join(' -> '))
      return
    }
    if (done.has(path)) return
    for (const next of known.get(path)?.imports ?? []) visit(next, [...way, path])
    done.add(path)
  }
  for (const { path } of files) visit(path, [])
  return cycles
}
