import { errors } from '../../errors.ts'
import { type JsonSchema, mapSchema } from '../../schema/json-schema.ts'
import { type ApiNames, authHints, namesOf, renderSettings, Servers } from './api-settings.ts'
import { isJson, LeftOut, type OpenApiDocument } from './document.ts'
import { compare, type Found } from './find-operations.ts'
import { Names, pascalCase, propertyName } from './names.ts'
import { type Operation, OperationReader } from './operations.ts'
import { Schemas, TOLD } from './schemas.ts'
import { type ClientFile, sealed } from './sealed.ts'
import {
  commentOf,
  inComment,
  intersectionOf,
  isInterface,
  objectOf,
  typeOf,
} from './typescript.ts'

/** What was made of a document. */
export interface Client {
  readonly files: readonly ClientFile[]
  /** The operations that were written. */
  readonly operations: readonly string[]
  /** Those that were not, by why. */
  readonly leftOut: ReadonlyMap<string, readonly string[]>
  /** What of those that were written was left out, or is called otherwise. */
  readonly notes: readonly string[]
  /** What is left to do. */
  readonly todo: readonly string[]
}

/**
 * Makes the files of a client: the same of the same document.
 *
 * @param found the operations that are wanted
 * @throws {PlinthError} OPENAPI_INVALID where none of them can be written
 */
export function generateClient(
  document: OpenApiDocument,
  found: readonly Found[],
  name: string,
): Client {
  const names = namesOf(name)
  const types = new Names(RESERVED_TYPES)
  const schemas = new Schemas(document, types)
  const servers = new Servers(document, names)
  const reader = new OperationReader(schemas, (own) => servers.variableOf(own))
  const operations: Operation[] = []
  const leftOut = new Map<string, string[]>()
  for (const one of found) {
    try {
      operations.push(reader.read(one))
    } catch (error) {
      if (!(error instanceof LeftOut)) throw error
      const reason = inComment(error.message)
      leftOut.set(reason, [...(leftOut.get(reason) ?? []), labelOf(one)])
    }
  }
  if (operations.length === 0) {
    const [reason = 'it has none'] = leftOut.keys()
    throw errors.OPENAPI_INVALID(document.source, `no operation of it can be written: ${reason}`)
  }
  operations.sort((a, b) => compare(a.name, b.name))
  const definitionsOf = (roots: readonly JsonSchema[]): Definitions =>
    [...schemas.reachedFrom(roots)].sort(compare).map((one) => [one, schemas.named(one)] as const)
  const checked = operations.flatMap(({ request, response }) => [request, response])
  const typed = [...checked, ...operations.flatMap((one) => one.types ?? [])]
  const title = titleOf(document)
  const files = [
    { name: 'api.ts', text: renderSettings(document, names, servers), once: true },
    { name: 'index.ts', text: sealed(renderIndex(names, servers, title)), once: false },
    {
      name: 'types.ts',
      text: sealed(renderTypes(operations, definitionsOf(typed), types, title)),
      once: false,
    },
    { name: 'operations.json', text: sealed(renderOperations(operations)), once: false },
    {
      name: 'schemas.json',
      text: sealed(renderSchemas(operations, definitionsOf(checked))),
      once: false,
    },
  ]
  const told = operations.flatMap((one) => one.notes.map((note) => `${labelOf(one)}: ${note}`))
  return {
    files,
    operations: operations.map((one) => one.name),
    leftOut,
    notes: [...told, ...schemas.notes].map(inComment),
    todo: todoOf(document, names),
  }
}

/** What is imported, and what is written without being of the document. */
const RESERVED_TYPES = ['ApiOperation', 'ByteAnswer', 'FileValue', 'Operations']

function labelOf({ id, method, path }: Found): string {
  return inComment(id ?? `${method} ${path}`)
}

function titleOf({ root, digest }: OpenApiDocument): string {
  const info = isJson(root.info) ? root.info : {}
  const [title, version] = [info.title, info.version].map((text) => inComment(String(text ?? '')))
  return [title, version, `(${digest})`].filter((text) => text !== '').join(' ')
}

function todoOf(document: OpenApiDocument, names: ApiNames): string[] {
  const { name, value } = names
  const hints = authHints(document, names)
  return [
    `list what you call in a module: defineModule({ resources: ${value} }), or only some of them`,
    `add its variables to those of the service: env: Type.Object({ ...${value}Env })`,
    ...hints.map(
      ({ scheme, setting }) => `say who asks in src/apis/${name}/api.ts, as ${scheme}: ${setting}`,
    ),
  ]
}

function headerOf(title: string): string[] {
  return [
    '// Written by manage client, and written anew by it: what is yours is in api.ts. sha256 %DIGEST%',
    `// From ${title}`,
  ]
}

function renderIndex({ value }: ApiNames, servers: Servers, title: string): string {
  const others = [...servers.others.values()]
  const mine = [`${value}Api`, `${value}Settings`, ...others.map(({ value }) => value)]
  const byServer = others.map(({ variable, value }) => `, ${variable}: ${value}`)
  return [
    ...headerOf(title),
    "import { defineOperations } from 'plinth'",
    `import { ${mine.join(', ')} } from './api.ts'`,
    "import type { Operations } from './types.ts'",
    '',
    `export { ${value}Env } from './api.ts'`,
    `export type * from './types.ts'`,
    '',
    '/** Its operations, each a resource: list those that are called in a module. */',
    `export const ${value} = defineOperations<Operations>({ api: ${value}Api${byServer.join('')} }, import.meta.url, ${value}Settings)`,
    '',
  ].join('\n')
}

type Definitions = readonly (readonly [name: string, schema: JsonSchema])[]

function renderTypes(
  operations: readonly Operation[],
  definitions: Definitions,
  names: Names,
  title: string,
): string {
  const members: string[] = []
  const types: string[] = []
  for (const one of operations) {
    const { name, wire, operation, request, response } = one
    const { description, deprecated } = operation
    const word = pascalCase(name)
    const [input, output] = [names.take(`${word}Request`), names.take(`${word}Response`)]
    const isTold = typeof operation.summary !== 'string' || description === wire.summary
    const route = `\`${wire.method} ${wire.path}\``
    const title = wire.summary === `${wire.method} ${wire.path}` ? '' : `${wire.summary}\n`
    const told = { title: title + route, ...(!isTold && { description }), deprecated }
    members.push(
      ...commentOf(told, '  '),
      `  ${propertyName(name)}: ApiOperation<${input}, ${output}>`,
    )
    types.push(declare(input, request, one.types), declare(output, response))
  }
  for (const [name, schema] of definitions) types.push(declare(name, schema))
  const body = types.join('\n')
  const imported = [
    'ApiOperation',
    ...['ByteAnswer', 'FileValue'].filter((name) => new RegExp(`\\b${name}\\b`).test(body)),
  ]
  return [
    ...headerOf(title),
    `import type { ${imported.join(', ')} } from 'plinth'`,
    '',
    'export type Operations = {',
    ...members,
    '}',
    '',
    body,
  ].join('\n')
}

/** @param parts what it is made of, where it is not written as it is */
function declare(name: string, schema: JsonSchema, parts?: readonly JsonSchema[]): string {
  const comment = commentOf(schema).map((line) => `${line}\n`)
  if (!parts && isInterface(schema))
    return `${comment.join('')}export interface ${name} ${objectOf(schema)}\n`
  const type = intersectionOf((parts ?? [schema]).map((one) => typeOf(one)))
  return `${comment.join('')}export type ${name} = ${type}\n`
}

function renderOperations(operations: readonly Operation[]): string {
  return renderTable(
    'operations',
    operations.map(({ name, wire }) => [name, wire]),
  )
}

function renderSchemas(operations: readonly Operation[], definitions: Definitions): string {
  const own = operations.flatMap(({ name, request, response }) => [
    [`${name}:request`, request] as const,
    [`${name}:response`, response] as const,
  ])
  const all = [...own, ...definitions].map(
    ([name, schema]) => [name, mapSchema(schema, bare)] as const,
  )
  return renderTable('$defs', all)
}

/** Without what comments have told. */
function bare(schema: JsonSchema): JsonSchema {
  const entries = Object.entries(schema).filter(
    ([key]) => !TOLD.includes(key) && key !== 'x-plinth',
  )
  return Object.fromEntries(entries)
}

/** A table as JSON, an entry on each line: what has changed is seen. */
function renderTable(key: string, entries: readonly (readonly [string, unknown])[]): string {
  const lines = entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)
  const comment = 'Written by manage client, and written anew by it; sha256 %DIGEST%'
  return `{"$comment":${JSON.stringify(comment)},\n${JSON.stringify(key)}:{\n${lines.join(',\n')}\n}}\n`
}
