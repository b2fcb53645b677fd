import { existsSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { type NewFile, readIfThere } from '../files.ts'
import { kit } from '../process/kit.ts'
import { addImport, addItem } from './edit-source.ts'
import { templateFiles } from './template-files.ts'

export const KINDS = [
  'module',
  'resource',
  'task',
  'model',
  'plugin',
  'command',
  'api',
  'seed',
  'test',
] as const
export type Kind = (typeof KINDS)[number]

/** Those that belong to a module: `orders/approve`. */
const OF_MODULE: ReadonlySet<string> = new Set(['resource', 'task', 'model'])
const WORD = '[a-z][a-z0-9]*(?:-[a-z0-9]+)*'

/** What is wrong with the name of such a thing; undefined: nothing. */
export function problemOfMade(kind: Kind, name: string): string | undefined {
  const wanted = OF_MODULE.has(kind)
    ? `${WORD}/${WORD}`
    : kind === 'command'
      ? `${WORD}(?:/${WORD})*`
      : WORD
  if (new RegExp(`^${wanted}$`).test(name)) return undefined
  const words = 'lower case letters and digits in words joined by -'
  const example = OF_MODULE.has(kind) ? `MODULE/NAME, both ${words}: orders/approve` : words
  return `${JSON.stringify(name)} is no name of a ${kind}: it takes ${example}`
}

/** What is made: new files, files that are changed, and what is left to do by hand. */
export interface Made {
  readonly created: readonly NewFile[]
  readonly changed: readonly NewFile[]
  readonly todo: readonly string[]
}

/** Writes nothing: tells what would be. @param root the folder of the service */
export function make(kind: Kind, name: string, root: string): Made {
  const names = namesOf(kind, name, root)
  const service = readIfThere(join(root, 'src/service.ts')) ?? ''
  const auth = /\bauth: true\b/.test(service) ? 'jwt' : 'none'
  const created = templateFiles(`make/${kind}`, { auth }, names).map((file) => ({
    ...file,
    path: join(root, file.path),
  }))
  const edits = new Edits(root)
  EDITS[kind]?.(edits, names)
  return { created, changed: edits.files, todo: [...edits.todo, ...(NEXT[kind]?.(names) ?? [])] }
}

/**
 * Writes nothing: tells what would be a plugin for many services. No service lists it yet, as it would not start before the
 * package is installed.
 *
 * @param folder of the package
 * @param root the folder of the service that asks
 */
export function makePackage(name: string, folder: string, root: string): Made {
  const { version, peerDependencies } = kit()
  const names = namesOf('plugin', name, root)
  const versions = {
    PLINTH_VERSION: `^${version}`,
    FASTIFY_VERSION: peerDependencies.fastify as string,
  }
  const created = templateFiles('package', {}, { ...names, ...versions })
  const from = relative(root, folder)
  // A link to what lies elsewhere would not find the packages of the service.
  const install = from.startsWith('..') ? `--install-links ${from}` : `./${from}`
  return {
    created: created.map((file) => ({ ...file, path: join(folder, file.path) })),
    changed: [],
    todo: [
      `npm install ${install}`,
      `add ${names.CAMEL}() to plugins of defineService in src/service.ts: import { ${names.CAMEL} } from '${name}'`,
      'bin/manage migrate',
    ],
  }
}

type Names = ReturnType<typeof namesOf>

const EDITS: Partial<Record<Kind, (edits: Edits, names: Names) => void>> = {
  module(edits, { NAME, CAMEL, ONE_PASCAL }) {
    edits.add('src/service.ts', ONE_PASCAL, `./${NAME}/model.ts`, 'defineService', 'models')
    edits.add('src/service.ts', CAMEL, `./${NAME}/module.ts`, 'defineService', 'modules')
  },
  resource: addToModule,
  task: addToModule,
  model(edits, { NAME, MODULE, PASCAL }) {
    edits.add('src/service.ts', PASCAL, `./${MODULE}/${NAME}.ts`, 'defineService', 'models')
  },
  plugin(edits, { NAME, CAMEL }) {
    edits.add('src/service.ts', CAMEL, `../plugins/${NAME}.ts`, 'defineService', 'plugins')
  },
}

function addToModule(edits: Edits, { NAME, MODULE, CAMEL }: Names): void {
  edits.add(`src/${MODULE}/module.ts`, CAMEL, `./${NAME}.ts`, 'defineModule', 'resources')
}

const NEXT: Partial<Record<Kind, (names: Names) => string[]>> = {
  module: ({ NAME }) => [
    `bin/manage makemigrations --name ${NAME.replaceAll('-', '_')} && bin/manage migrate`,
  ],
  model: ({ SNAKE }) => [`bin/manage makemigrations --name ${SNAKE} && bin/manage migrate`],
  api: ({ CAMEL, PASCAL, NAME }) => [
    'npm install undici cockatiel, where they are not there yet',
    `list its resources in a module: import { get${PASCAL} } from '../apis/${NAME}.ts', of the API ${CAMEL}`,
  ],
}

/** The changes of files that are there. */
class Edits {
  readonly todo: string[] = []
  readonly #root: string
  readonly #texts = new Map<string, string>()

  constructor(root: string) {
    this.#root = root
  }

  get files(): NewFile[] {
    return Array.from(this.#texts, ([path, text]) => ({ path: join(this.#root, path), text }))
  }

  /** Lists `name`, which `from` exports, in `key` of a call in the file `path`; where that is not found it is left to do. */
  add(path: string, name: string, from: string, callee: string, key: string): void {
    const text = this.#texts.get(path) ?? readIfThere(join(this.#root, path))
    const kind = key === 'models' || key === 'plugins' ? 'array' : 'object'
    const listed = text && addItem(text, callee, key, name, kind)
    const whole = listed && addImport(listed, name, from)
    if (!whole) {
      this.todo.push(
        `add ${name} to ${key} of ${callee} in ${path}: import { ${name} } from '${from}'`,
      )
    } else if (whole !== text) this.#texts.set(path, whole)
  }
}

function namesOf(kind: Kind, path: string, root: string) {
  const words = path.split('/')
  const name = words.at(-1) ?? ''
  const module = words.at(-2) ?? ''
  const one = singular(name)
  const upper = name.replaceAll('-', '_').toUpperCase()
  return {
    NAME: kind === 'command' ? words.join('-') : name,
    CAMEL: camel(name),
    PASCAL: pascal(kind === 'command' ? words.join('-') : name),
    SNAKE: name.replaceAll('-', '_'),
    UPPER: upper,
    TITLE: title(name),
    ONE_SNAKE: one.replaceAll('-', '_'),
    ONE_PASCAL: pascal(one),
    MODULE: module,
    MODULE_CAMEL: camel(module),
    PATH: path,
    WORDS: words.join(' '),
    ARGUMENTS: words.map((word) => `'${word}'`).join(', '),
    FILE: `${nextNumber(join(root, 'seeds'))}_${name.replaceAll('-', '_')}`,
  }
}

const camel = (name: string) => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
const pascal = (name: string) => camel(`-${name}`)
const title = (name: string) => name[0]?.toUpperCase() + name.slice(1).replaceAll('-', ' ')

/** As English has it most of the time: who has another word renames it. */
function singular(name: string): string {
  if (name.endsWith('ies')) return `${name.slice(0, -3)}y`
  if (/(?:ch|sh|x|ss)es$/.test(name)) return name.slice(0, -2)
  return /[^s]s$/.test(name) ? name.slice(0, -1) : `${name}-row`
}

/** Two digits: one more than the last seed has. */
function nextNumber(folder: string): string {
  const numbers = existsSync(folder)
    ? readdirSync(folder).map((file) => Number.parseInt(file, 10) || 0)
    : []
  return String(Math.max(0, ...numbers) + 1).padStart(2, '0')
}
