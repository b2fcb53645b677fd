import module from 'node:module'
import { parse } from 'acorn'

/** A node of the syntax tree, as ESTree has it. */
interface Node {
  type: string
  start: number
  end: number
  // biome-ignore lint/suspicious/noExplicitAny: a tree of any nodes
  [key: string]: any
}

/**
 * Adds an item to a list in the options of a call: `notes` to `modules` of `defineService({ modules: { … } })`, where it may be a
 * constant of the module, too. What is there already stays as it is.
 *
 * @param source TypeScript
 * @returns the new source; undefined: it is not written in a way that is known here
 */
export function addItem(
  source: string,
  callee: string,
  key: string,
  item: string,
  kind: 'array' | 'object',
): string | undefined {
  const program = parseSource(source)
  const call = program && findCall(program, callee)
  const [options] = call?.arguments ?? []
  if (!program || options?.type !== 'ObjectExpression') return undefined
  const property = options.properties.find((one: Node) => one.key?.name === key)
  if (!property) {
    const text = kind === 'array' ? `${key}: [${item}]` : `${key}: { ${item} }`
    return insert(source, options, options.properties, text)
  }
  const list =
    property.value.type === 'Identifier' ? constant(program, property.value.name) : property.value
  // All the resources of a model, and no others yet.
  if (kind === 'object' && list?.type === 'CallExpression') {
    const { start, end } = list
    return `${source.slice(0, start)}{ ${item}, ...${source.slice(start, end)} }${source.slice(end)}`
  }
  if (list?.type !== (kind === 'array' ? 'ArrayExpression' : 'ObjectExpression')) return undefined
  const items: Node[] = kind === 'array' ? list.elements : list.properties
  const isThere = items.some((one) => [one?.name, one?.key?.name].includes(item))
  return isThere ? source : insert(source, list, items, item)
}

/** Adds an import, in its place where the others are in order; one that is there already stays. */
export function addImport(source: string, name: string, from: string): string | undefined {
  const program = parseSource(source)
  if (!program) return undefined
  const imports: Node[] = program.body.filter((node: Node) => node.type === 'ImportDeclaration')
  const isThere = imports.some((one) =>
    one.specifiers.some((specifier: Node) => specifier.local.name === name),
  )
  if (isThere) return source
  const line = `import { ${name} } from '${from}'${newlineOf(source)}`
  const before = imports.findLast((one) => rank(one.source.value) <= rank(from))
  if (!before) return line + source
  const end = source.indexOf('\n', before.end) + 1 || source.length
  return source.slice(0, end) + line + source.slice(end)
}

/**
 * Writes what is asked of a variable under another name: `app.lock` as `app.cache.lock`.
 *
 * @returns the same source where it has none, or is no TypeScript
 */
export function renameMember(source: string, object: string, from: string, to: string): string {
  // To parse takes long, and most files have nothing of it.
  if (!source.includes(from)) return source
  const program = parseSource(source)
  const places: Node[] = []
  if (program)
    visit(program, ({ type, object: owner, property, computed }) => {
      const isMeant = type === 'MemberExpression' && !computed && owner.name === object
      if (isMeant && property.name === from) places.push(property)
    })
  return places
    .sort((a, b) => b.start - a.start)
    .reduce((text, { start, end }) => text.slice(0, start) + to + text.slice(end), source)
}

/** Packages come first, then what is above, then what is beside. */
function rank(from: string): string {
  const group = from.startsWith('../') ? 1 : from.startsWith('./') ? 2 : 0
  return `${group}${from}`
}

/** Positions in the tree are those of `source`: what is TypeScript alone becomes blanks. */
function parseSource(source: string): Node | undefined {
  const { emitWarning } = process
  try {
    // That it is experimental on older Node.js is nothing to whoever makes a module.
    process.emitWarning = () => {}
    const stripped = module.stripTypeScriptTypes(source)
    return parse(stripped, { ecmaVersion: 'latest', sourceType: 'module' })
  } catch {
    return undefined
  } finally {
    process.emitWarning = emitWarning
  }
}

const newlineOf = (source: string): string => (source.includes('\r\n') ? '\r\n' : '\n')

function findCall(program: Node, callee: string): Node | undefined {
  let found: Node | undefined
  visit(program, (node) => {
    if (node.type === 'CallExpression' && node.callee.name === callee) found ??= node
  })
  return found
}

/** Looks at a node and all within it, in the order of the source. */
function visit(node: Node, look: (node: Node) => void): void {
  look(node)
  for (const part of Object.values(node).flat())
    if (typeof part?.type === 'string') visit(part, look)
}

/** What a constant of the module is. */
function constant(program: Node, name: string): Node | undefined {
  const declared = program.body.flatMap(
    (node: Node) => (node.declaration ?? node).declarations ?? [],
  )
  return declared.find((one: Node) => one.id.name === name)?.init ?? undefined
}

/** Puts an item behind the last one, on a line of its own where each has one. */
function insert(source: string, list: Node, items: readonly Node[], item: string): string {
  const last = items.at(-1)
  if (!last) {
    const inner = source[list.start] === '{' ? ` ${item} ` : item
    return source.slice(0, list.start + 1) + inner + source.slice(list.end - 1)
  }
  const [first = last] = items
  const [, indent] = /\n([ \t]*)$/.exec(source.slice(list.start, first.start)) ?? []
  const comma = /^\s*,/.exec(source.slice(last.end, list.end))?.[0].length
  const at = last.end + (comma ?? 0)
  const text =
    indent === undefined
      ? `${comma ? '' : ','} ${item}`
      : `${comma ? '' : ','}${newlineOf(source)}${indent}${item}${comma ? ',' : ''}`
  return source.slice(0, at) + text + source.slice(at)
}
