import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type ESTree, parseSync } from 'rolldown/utils'

// TypeScript 7 has no programming interface that stays the same. What it has written into dist/*.d.ts has every type that
// it has found out, and the docstrings; to read that takes a parser alone, and the bundler brings one.

/** Where something is declared: in a file of the kit, or in a package. */
export type Place = { readonly file: string; readonly name: string } | { readonly package: string }

/** What the declarations of one name say; there are several of a function that can be called in several ways. */
export interface Declaration {
  readonly file: string
  readonly name: string
  readonly kind: Kind
  /** Without `export`, `declare` and what nobody outside may use. */
  readonly text: string
  /** Its docstring, without stars; of several the first that there is. */
  readonly doc: string
  /** The types of the kit that it refers to. */
  readonly uses: readonly Declaration[]
}

export type Kind = 'class' | 'const' | 'function' | 'interface' | 'type'

/** The part of a file that one statement declares. */
interface Part {
  readonly kind: Kind
  readonly node: ESTree.Node
  readonly text: string
  readonly doc: string
}

interface DeclarationFile {
  readonly parts: ReadonlyMap<string, readonly Part[]>
  readonly imports: ReadonlyMap<string, Place>
  /** By their names outside; `default` among them. */
  readonly exports: ReadonlyMap<string, Place>
  /** What `export * from` names. */
  readonly all: readonly Place[]
  /** What it adds to the types of Fastify. */
  readonly additions: readonly string[]
  /** The first docstring, where it is about the file. */
  readonly doc: string
}

const files = new Map<string, DeclarationFile>()
const declarations = new Map<string, Declaration>()

/** What a file exports, by name: a declaration, or the package that it comes from. */
export function exportsOf(file: string): Map<string, Declaration | { readonly package: string }> {
  const { exports } = readFile(file)
  return new Map(Array.from(exports, ([name, place]) => [name, follow(place)]))
}

/** The packages whose exports are those of the file, too. */
export function packagesOf(file: string): string[] {
  return readFile(file).all.flatMap((place) => ('package' in place ? place.package : []))
}

/** What a file adds to the types of Fastify. */
export const additionsOf = (file: string): readonly string[] => readFile(file).additions

/** What the file says of itself. */
export const docOf = (file: string): string => readFile(file).doc

function follow(place: Place): Declaration | { readonly package: string } {
  if ('package' in place) return place
  const { parts, exports, imports } = readFile(place.file)
  if (parts.has(place.name)) return declarationOf(place.file, place.name)
  const exported = exports.get(place.name)
  // `export type { Person }` of what it imports has one name, twice.
  const isItself =
    exported && 'file' in exported && exported.file === place.file && exported.name === place.name
  const next = isItself ? imports.get(place.name) : (exported ?? imports.get(place.name))
  if (!next) throw new Error(`${place.file} neither declares nor imports ${place.name}`)
  return follow(next)
}

function declarationOf(file: string, name: string): Declaration {
  const key = `${file}#${name}`
  const known = declarations.get(key)
  if (known) return known
  const parts = readFile(file).parts.get(name) as readonly Part[]
  const uses: Declaration[] = []
  const made: Declaration = {
    file,
    name,
    kind: (parts.find(({ kind }) => kind === 'class') ?? (parts[0] as Part)).kind,
    text: parts.map(({ text }) => text).join('\n'),
    doc: parts.find(({ doc }) => doc)?.doc ?? '',
    uses,
  }
  // Before those that it uses: types refer to one another in circles.
  declarations.set(key, made)
  uses.push(...parts.flatMap(({ node }) => usesOf(file, name, node)))
  return made
}

/** Names of types begin with a capital here: parameters and properties do not. */
function usesOf(file: string, own: string, root: ESTree.Node): Declaration[] {
  const { parts, imports } = readFile(file)
  const found = new Set<Declaration>()
  const add = (place: Place | undefined) => {
    const used = place && follow(place)
    if (used && 'text' in used) found.add(used)
  }
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    const node = value as ESTree.Node
    if (node.type === 'TSImportType' && node.qualifier?.type === 'Identifier') {
      const place = placeOf(file, node.source.value, node.qualifier.name)
      if ('file' in place) add(place)
    }
    if (node.type === 'Identifier' && /^[A-Z]/.test(node.name) && node.name !== own) {
      if (parts.has(node.name)) add({ file, name: node.name })
      else add(imports.get(node.name))
    }
    Object.values(node).forEach(visit)
  }
  visit(root)
  return [...found]
}

function readFile(file: string): DeclarationFile {
  const known = files.get(file)
  if (known) return known
  const made = parseFile(file)
  files.set(file, made)
  return made
}

function parseFile(file: string): DeclarationFile {
  const source = readFileSync(file, 'utf8')
  const { program, comments, errors } = parseSync(file, source, { lang: 'dts' })
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`)
  const parts = new Map<string, Part[]>()
  const imports = new Map<string, Place>()
  const exports = new Map<string, Place>()
  const all: Place[] = []
  const additions: string[] = []

  const docBefore = (start: number): string => {
    const comment = comments.findLast(({ end }) => end <= start)
    if (comment?.type !== 'Block' || source.slice(comment.end, start).trim() !== '') return ''
    return comment.value.startsWith('*') ? plainDoc(comment.value.slice(1)) : ''
  }

  const declare = (node: ESTree.Node, start: number, isExported: boolean): void => {
    if (node.type === 'TSModuleDeclaration') {
      const [line] = source.slice(node.start, node.end).split('\n', 1)
      if (line?.includes("'fastify'")) additions.push(tidy(source.slice(node.start, node.end)))
      return
    }
    const kind = KINDS[node.type as keyof typeof KINDS]
    const id =
      node.type === 'VariableDeclaration' ? node.declarations[0]?.id : (node as ESTree.Class).id
    if (!kind || id?.type !== 'Identifier') return
    const part = { kind, node, text: tidy(source.slice(start, node.end)), doc: docBefore(start) }
    parts.set(id.name, [...(parts.get(id.name) ?? []), part])
    if (isExported) exports.set(id.name, { file, name: id.name })
  }

  for (const statement of program.body) {
    if (statement.type === 'ImportDeclaration') {
      for (const one of statement.specifiers) {
        const name = one.type === 'ImportSpecifier' ? nameOf(one.imported) : 'default'
        imports.set(one.local.name, placeOf(file, statement.source.value, name))
      }
    } else if (statement.type === 'ExportAllDeclaration') {
      const place = placeOf(file, statement.source.value, '*')
      if (statement.exported) exports.set(nameOf(statement.exported), place)
      else all.push(place)
    } else if (statement.type === 'ExportDefaultDeclaration') {
      const { declaration } = statement
      if (declaration.type === 'Identifier')
        exports.set('default', { file, name: declaration.name })
      else {
        declare(declaration, statement.start, false)
        const { id } = declaration as ESTree.Class
        if (id) exports.set('default', { file, name: id.name })
      }
    } else if (statement.type === 'ExportNamedDeclaration') {
      if (statement.declaration) declare(statement.declaration, statement.start, true)
      for (const { local, exported } of statement.specifiers) {
        const place = statement.source
          ? placeOf(file, statement.source.value, nameOf(local))
          : { file, name: nameOf(local) }
        exports.set(nameOf(exported), place)
      }
    } else declare(statement, statement.start, false)
  }
  const doc = program.body[0] ? docBefore(program.body[0].start) : ''
  return { parts, imports, exports, all, additions, doc: doc.startsWith('`plinth') ? doc : '' }
}

const KINDS = {
  ClassDeclaration: 'class',
  FunctionDeclaration: 'function',
  TSDeclareFunction: 'function',
  TSInterfaceDeclaration: 'interface',
  TSTypeAliasDeclaration: 'type',
  VariableDeclaration: 'const',
} as const

const nameOf = (name: ESTree.ModuleExportName): string =>
  name.type === 'Literal' ? name.value : name.name

function placeOf(file: string, from: string, name: string): Place {
  if (!from.startsWith('.')) return { package: from }
  return { file: join(dirname(file), from.replace(/\.ts$/, '.d.ts')), name }
}

/** A declaration as somebody would write it who only wants to read it. */
function tidy(text: string): string {
  return text
    .replace(/^export (default )?/, '')
    .replace(/^declare /, '')
    .replaceAll(/\bimport\("[^"]+"\)\./g, '')
    .replaceAll(/^ +#private;\n/gm, '')
    .replaceAll(/^ +/gm, (spaces) => ' '.repeat(Math.ceil(spaces.length / 2)))
}

/** A docstring without its stars. */
export function plainDoc(comment: string): string {
  const lines = comment.split('\n').map((line) => line.replace(/^\s*\* ?/, '').trimEnd())
  return lines.join('\n').trim()
}
