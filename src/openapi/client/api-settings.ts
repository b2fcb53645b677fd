import { isJson, type Json, type OpenApiDocument } from './document.ts'
import { camelCase, Names, pascalCase } from './names.ts'
import { inComment, inText } from './typescript.ts'

/** What the values and variables of an API are called, by the name that it was given. */
export interface ApiNames {
  /** As it was given: of its folder, and in errors. */
  readonly name: string
  /** `billing`: the resources; `billingApi` and `billingEnv` beside it. */
  readonly value: string
  /** `BILLING` */
  readonly variable: string
}

/** Whether an API can be called so. */
export function isName(name: string): boolean {
  return /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/.test(name) && !WORDS.split(' ').includes(name)
}

/** Those of JavaScript that no value can be called. */
const WORDS =
  'arguments await break case catch class const continue debugger default delete do else enum eval export extends false finally for function if implements import in instanceof interface let new null package private protected public return static super switch this throw true try typeof undefined var void while with yield'

export function namesOf(name: string): ApiNames {
  return { name, value: camelCase(name), variable: name.replaceAll('-', '_').toUpperCase() }
}

/** Where operations are, as one API of `defineApi`. */
export interface Server {
  /** In logs and errors: `billing`, `billing-files`. */
  readonly name: string
  /** Of `api.ts`: `billingApi`. */
  readonly value: string
  /** `BILLING_URL` */
  readonly variable: string
  /** `undefined`: the document does not say. */
  readonly url: string | undefined
}

/** The servers of a document, each an API of its own. */
export class Servers {
  readonly #document: OpenApiDocument
  readonly #names: ApiNames
  readonly #taken = new Names(['api'])
  /** That of the document. */
  readonly main: Server
  /** Those that operations have of their own, by their URLs. */
  readonly others = new Map<string, Server>()

  constructor(document: OpenApiDocument, names: ApiNames) {
    this.#document = document
    this.#names = names
    const { name, value, variable } = names
    const url = this.#urlOf(document.root.servers)
    this.main = { name, value: `${value}Api`, variable: `${variable}_URL`, url }
  }

  /** The variable of the server of an operation, where that is not the one of the document. */
  variableOf(servers: unknown): string | undefined {
    const url = this.#urlOf(servers)
    if (url === undefined || url === this.main.url) return undefined
    let server = this.others.get(url)
    if (!server) {
      const [host = ''] = new URL(url).hostname.split('.')
      const word = this.#taken.take(host.replaceAll(/[^a-z0-9]+/g, '_'))
      const { name, value, variable } = this.#names
      server = {
        name: `${name}-${word}`,
        value: `${value}${pascalCase(word)}Api`,
        variable: `${variable}_${word.toUpperCase()}_URL`,
        url,
      }
      this.others.set(url, server)
    }
    return server.variable
  }

  /** The first server, as far as it is an address. */
  #urlOf(servers: unknown): string | undefined {
    const [server] = Array.isArray(servers) ? servers : []
    if (!isJson(server) || typeof server.url !== 'string') return undefined
    const variables = isJson(server.variables) ? server.variables : {}
    const text = server.url.replaceAll(/\{([^{}]*)\}/g, (whole, name: string) => {
      const variable = Object.hasOwn(variables, name) ? variables[name] : undefined
      return isJson(variable) && variable.default !== undefined ? String(variable.default) : whole
    })
    const url = URL.parse(text.startsWith('//') ? `https:${text}` : text, this.#document.url?.href)
    if (!url || !/^https?:$/.test(url.protocol) || /[{}]|%7[BD]/i.test(text)) return undefined
    return `${url.origin}${url.pathname.replace(/\/+$/, '')}`
  }
}

/** One way to say who asks, as a setting of `defineApi`. */
interface AuthHint {
  /** Of the scheme, in the document. */
  scheme: string
  setting: string
}

/** What the security schemes of a document come to. */
export function authHints({ root }: OpenApiDocument, { variable }: ApiNames): AuthHint[] {
  const { components } = root
  const schemes =
    isJson(components) && isJson(components.securitySchemes) ? components.securitySchemes : {}
  return Object.keys(schemes)
    .sort()
    .flatMap((scheme) => {
      const one = schemes[scheme]
      if (!isJson(one)) return []
      return [{ scheme: inComment(scheme), setting: inComment(settingOf(one, variable)) }]
    })
}

function settingOf({ type, scheme, in: place, name }: Json, variable: string): string {
  const config = `app.config.${variable}`
  const bearer = `auth: { bearer: ({ app }) => ${config}_TOKEN },`
  if (type === 'http' && String(scheme).toLowerCase() === 'basic')
    return `auth: { basic: { user: '…', password: '…' } },`
  if (type === 'http' && String(scheme).toLowerCase() === 'bearer') return bearer
  if (type === 'apiKey' && place === 'header') {
    const header = inText(String(name).toLowerCase())
    return `headers: ({ app }) => ({ ${header}: ${config}_KEY }),`
  }
  if (type === 'apiKey' && place === 'query')
    return `hooks: { buildUrl: (path, { context: { app } }) => \`\${path}\${path.includes('?') ? '&' : '?'}\${new URLSearchParams({ ${inText(String(name))}: ${config}_KEY })}\` },`
  if (type === 'oauth2' || type === 'openIdConnect')
    return `${bearer} (a token that you get by ${type})`
  return `auth: (request) => { … }, (${inComment(String(type))})`
}

/** The file that is written once, and is the service's own from then on. */
export function renderSettings(
  document: OpenApiDocument,
  names: ApiNames,
  { main, others }: Servers,
): string {
  const { value } = names
  const servers = [main, ...others.values()]
  const env = servers.map(({ name, variable, url }) => {
    const initial = url === undefined ? '' : `, default: ${inText(url)}`
    return `  ${variable}: Type.String({ description: ${inText(`Where ${name} is`)}, format: 'uri'${initial} }),`
  })
  const hints = authHints(document, names)
  const told = hints.map(({ scheme, setting }) => `  // ${scheme}: ${setting}`)
  if (told.length > 0) told.unshift('  // Who asks, as the document has it:')
  const lines = [
    '// Written once by manage client, and yours from then on: it is never written again.',
    "import { defineApi, type OperationSettings, Type } from 'plinth'",
    "import type { Operations } from './types.ts'",
    '',
    `/** For the variables of the service: \`env: Type.Object({ ...${value}Env, … })\`. */`,
    `export const ${value}Env = {`,
    ...env,
    '}',
    '',
    "declare module 'plinth' {",
    '  interface ServiceConfig {',
    ...servers.map(({ variable }) => `    ${variable}: string`),
    '  }',
    '}',
    ...servers.flatMap((server) => [
      '',
      `export const ${server.value} = defineApi({`,
      `  name: ${inText(server.name)},`,
      `  baseUrl: ({ config }) => config.${server.variable},`,
      ...told,
      '})',
    ]),
    '',
    '/** What is said of single operations: `{ usersGet: { cache: { ttl: 60_000 } } }`. */',
    `export const ${value}Settings: OperationSettings<Operations> = {}`,
    '',
  ]
  return lines.join('\n')
}
