import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Command } from '@oclif/core/command'
import { commands } from '../commands/_table.ts'
import { errors } from '../src/errors.ts'
import { kitOwners } from '../src/kit.ts'
import { instanceOf } from '../src/plugin.ts'
import {
  additionsOf,
  type Declaration,
  docOf,
  exportsOf,
  packagesOf,
  plainDoc,
} from './declarations.ts'
import { createSlugs } from './slugs.ts'

// npm run reference: writes docs/reference from the code, as it was built into dist/.

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FOLDER = join(ROOT, 'docs/reference')

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  name: string
  exports: Record<string, { default: string } | string>
}

/** What can be imported: the name, and where its declarations are. */
interface Entry {
  readonly name: string
  readonly file: string
}

/** A part of a page; what is declared there others link to. */
interface Section {
  readonly depth: 2 | 3
  readonly title: string
  readonly declaration?: Declaration
  readonly body: (link: Link) => string
}

type Link = (declaration: Declaration) => string | undefined

interface Page {
  readonly file: string
  readonly title: string
  readonly intro: string
  readonly sections: readonly Section[]
}

/** The files of docs/reference, by name. */
export async function renderReference(): Promise<Record<string, string>> {
  const entries = Object.entries(manifest.exports).flatMap(([path, target]) =>
    entriesOf(path, target),
  )
  const isPlugin = ({ name }: Entry) => name.includes('/plugins/')
  const plugins = await pluginsPage(entries.filter(isPlugin))
  const api = [...entries.filter((entry) => !isPlugin(entry)).map(entryPage), plugins]
  const pages = [...api, typesPage(api), await commandsPage()]
  const link = linksOf(pages)
  const rendered = pages.map((page) => [page.file, renderPage(page, link(page))])
  return { 'README.md': renderIndex(pages), ...Object.fromEntries(rendered) }
}

function entriesOf(path: string, target: { default: string } | string): Entry[] {
  if (typeof target === 'string') return []
  const declared = target.default.replace(/\.js$/, '.d.ts')
  return globSync(declared, { cwd: ROOT })
    .sort()
    .map((file) => ({
      name: join(manifest.name, path).replace('*', basename(file, '.d.ts')),
      file: join(ROOT, file),
    }))
}

function entryPage({ name, file }: Entry): Page {
  const all = [...exportsOf(file)].sort(([a], [b]) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1))
  const sections = all.map(([name, exported]) => exportSection(name, exported, 3))
  const values = sections.filter(({ declaration }) => !isType(declaration))
  const types = sections.filter(({ declaration }) => isType(declaration))
  const packages = packagesOf(file).map(
    (one) => `Every type of \`${one}\` is one of its exports, too.`,
  )
  return {
    file: `${name.slice(manifest.name.length + 1) || manifest.name}.md`,
    title: `\`${name}\``,
    intro: [
      docToMarkdown(docOf(file)) || `What \`import { … } from '${name}'\` gets.`,
      ...packages,
    ].join('\n\n'),
    sections: [
      ...(types.length > 0 && values.length > 0 ? [group('Functions and values')] : []),
      ...values,
      ...(types.length > 0 ? [group('Types')] : []),
      ...types,
    ],
  }
}

const isType = (declaration?: Declaration) =>
  declaration?.kind === 'interface' || declaration?.kind === 'type'

const group = (title: string): Section => ({ depth: 2, title, body: () => '' })

function exportSection(
  name: string,
  exported: Declaration | { readonly package: string },
  depth: 2 | 3,
): Section {
  if ('text' in exported) return declared(name, exported, depth)
  return { depth, title: name, body: () => `That of \`${exported.package}\`.` }
}

function declared(title: string, declaration: Declaration, depth: 2 | 3): Section {
  return {
    depth,
    title,
    declaration,
    body(link) {
      const uses = declaration.uses.flatMap((used) => {
        const href = used === declaration ? undefined : link(used)
        return href ? `[\`${used.name}\`](${href})` : []
      })
      const told = uses.length > 0 ? `Refers to ${[...new Set(uses)].sort().join(', ')}.` : ''
      return [docToMarkdown(declaration.doc), code(shorten(declaration)), told]
        .filter(Boolean)
        .join('\n\n')
    },
  }
}

/** Not `ts`: those are examples, which are compiled. */
const code = (text: string) => `\`\`\`typescript\n${text}\n\`\`\``

/** How many lines of a value's type are shown, which the compiler has found out: what somebody wrote is shown whole. */
const MOST = 40

function shorten({ kind, text }: Declaration): string {
  const lines = text.split('\n')
  return kind === 'const' && lines.length > MOST
    ? [...lines.slice(0, 8), '  // …', '};'].join('\n')
    : text
}

async function pluginsPage(entries: readonly Entry[]): Promise<Page> {
  const sections = await Promise.all(entries.map(pluginSections))
  return {
    file: 'plugins.md',
    title: `\`${manifest.name}/plugins/*\``,
    intro:
      'Each is the default export of its own entry: `app.register(cache, options)` in any Fastify app, an entry of `plugins` in a service. [Plugins](../plugins.md) says which of them a service has by itself.',
    sections: sections.flat(),
  }
}

async function pluginSections({ name, file }: Entry): Promise<Section[]> {
  const source = join(ROOT, 'plugins', `${basename(file, '.d.ts')}.ts`)
  const { default: plugin } = await import(pathToFileURL(source).href)
  const { decorators = [], env, needs = [], after = [] } = instanceOf(plugin)?.definition ?? {}
  const exported = [...exportsOf(file)].filter(([name]) => name !== 'default')
  const made = exportsOf(file).get('default')
  // Where the plugin is an expression, its docstring is that of the function that attaches it.
  const doc = (made && 'doc' in made && made.doc) || registerDoc(readFileSync(source, 'utf8'))
  const facts = {
    Decorators: decorators.map(quote),
    Variables: [
      ...Object.keys(env?.properties ?? {}),
      // Of another use of it, which every service has, too.
      ...kitOwners.flatMap(({ owner, schema }) =>
        owner.endsWith(`-${basename(file, '.d.ts')}`) ? Object.keys(schema.properties) : [],
      ),
    ].map(quote),
    Needs: needs.map(quote),
    'Comes after': after.map(quote),
  }
  const told = Object.entries(facts).flatMap(([fact, values]) =>
    values.length > 0 ? `- ${fact}: ${values.join(', ')}` : [],
  )
  const additions = additionsOf(file).map(code)
  const short = made && 'text' in made && made.text.length < 200 ? signatureOf(made.text) : []
  const body = () =>
    [docToMarkdown(doc), ...short, told.join('\n'), ...additions].filter(Boolean).join('\n\n')
  return [
    { depth: 2, title: `\`${name}\``, body },
    ...exported.map(([name, one]) => exportSection(name, one, 3)),
  ]
}

const quote = (text: string) => `\`${text}\``

const signatureOf = (text: string) => [code(text.replace(/^const _default: /, 'default: '))]

function registerDoc(source: string): string {
  const [, doc = ''] =
    /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n(?:async )?function register\b/.exec(source) ?? []
  return plainDoc(doc)
}

/** What exports refer to and nobody can import. */
function typesPage(pages: readonly Page[]): Page {
  const exported = new Set(
    pages.flatMap(({ sections }) => sections.flatMap(({ declaration }) => declaration ?? [])),
  )
  const inner = new Set<Declaration>()
  const visit = ({ uses }: Declaration): void => {
    for (const used of uses) {
      if (exported.has(used) || inner.has(used)) continue
      inner.add(used)
      visit(used)
    }
  }
  exported.forEach(visit)
  const sorted = [...inner].sort((a, b) =>
    a.name < b.name ? -1 : a.name > b.name ? 1 : a.file < b.file ? -1 : 1,
  )
  return {
    file: 'types.md',
    title: 'Other types',
    intro:
      'What the exports refer to, and what has no name outside: options, results and what they are made of.',
    sections: sorted.map((declaration) => declared(declaration.name, declaration, 2)),
  }
}

async function commandsPage(): Promise<Page> {
  const listed = await Promise.all(
    Object.entries(commands).map(async ([id, { load }]) => [id, (await load()).default] as const),
  )
  const folder = join(ROOT, 'commands/_users')
  const users = await Promise.all(
    globSync('*/*.ts', { cwd: folder })
      .sort()
      .map(async (path) => {
        const { default: command } = await import(pathToFileURL(join(folder, path)).href)
        return [path.replace('/', ':').replace('.ts', ''), command as typeof Command] as const
      }),
  )
  const section = ([id, command]: readonly [string, typeof Command]): Section => ({
    depth: 2,
    title: id.replace(':', ' '),
    body: () => commandBody(id.replace(':', ' '), command),
  })
  return {
    file: 'commands.md',
    title: 'Arguments and flags of commands',
    intro:
      'What each command takes. [Commands](../commands.md) says what they do, with examples that are run. Those of users and tokens are there where a service has `plinth/plugins/users`.',
    sections: [...listed, ...users].map(section),
  }
}

function commandBody(
  words: string,
  { summary, description, args = {}, flags = {}, enableJsonFlag }: typeof Command,
): string {
  const named = Object.entries(args).map(
    ([name, { required, description, options, default: initial }]) => [
      `\`${required ? name.toUpperCase() : `[${name.toUpperCase()}]`}\``,
      describe({ description, options, initial }),
    ],
  )
  const given = Object.entries(flags).flatMap(([name, flag]) => {
    if (flag.hidden) return []
    const { char, description, required, exclusive = [], dependsOn = [] } = flag
    const value = flag.type === 'option' ? ` ${flag.helpValue ?? 'VALUE'}` : ''
    const options = flag.type === 'option' ? flag.options : undefined
    const more = [
      required && 'required',
      exclusive.length > 0 && `not with ${exclusive.map((one) => `\`--${one}\``).join(', ')}`,
      dependsOn.length > 0 &&
        `only with ${dependsOn.map((one) => `\`--${String(one)}\``).join(', ')}`,
    ].filter((one) => typeof one === 'string')
    const negative = flag.type === 'boolean' && flag.allowNo ? ` \`--no-${name}\`` : ''
    return [
      [
        `${char ? `\`-${char}\` ` : ''}\`--${name}${value}\`${negative}`,
        describe({ description, options, initial: flag.default, more }),
      ],
    ]
  })
  const json = enableJsonFlag ? [['`--json`', 'print the result as JSON']] : []
  const rows = [...named, ...given, ...json].map(
    (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`,
  )
  const table =
    rows.length > 0 ? ['| Argument or flag | |', '| --- | --- |', ...rows].join('\n') : ''
  const usage = `\`manage ${[words, ...named.map(([name]) => name?.replaceAll('`', ''))].join(' ')}\``
  const told = [summary?.replace(/(?<=\w)$/, '.'), description].filter(Boolean).join(' ')
  return [usage, escapeText(told), table].filter(Boolean).join('\n\n')
}

interface Described {
  description: string | undefined
  options: readonly string[] | undefined
  initial: unknown
  more?: readonly string[]
}

function describe({ description = '', options, initial, more = [] }: Described): string {
  const values = options ? [`one of ${options.map((one) => `\`${one}\``).join(', ')}`] : []
  const isPlain = ['string', 'number'].includes(typeof initial)
  const standard = isPlain ? [`default: \`${initial}\``] : []
  return [description, ...values, ...standard, ...more].filter(Boolean).map(escapeText).join('; ')
}

const INDEX = `# Reference

| What there is | Where, and how much |
| --- | --- |
| Commands | [commands](../commands.md), [their arguments and flags](commands.md) |
| Variables | [configuration](../configuration.md#the-kits-variables) |
| Errors | [errors](../errors.md) |
| What \`manage check\` finds | [checks](../checks.md) |
| Metrics | [telemetry](../telemetry.md#metrics) |
`

function renderIndex(pages: readonly Page[]): string {
  const rows = pages
    .filter(({ file }) => file !== 'commands.md')
    .map(({ file, title, sections }) => {
      const count = sections.filter(({ depth, declaration }) => depth === 3 || declaration).length
      return `| ${title} | [${count}](${file}) |`
    })
  return `${INDEX}${rows.join('\n')}\n\n${MADE}\n`
}

const MADE = 'What is in this folder is made from the code, by `npm run reference`.'

function linksOf(pages: readonly Page[]): (from: Page) => Link {
  const places = new Map<Declaration, { file: string; anchor: string }>()
  for (const { file, title, sections } of pages) {
    const slug = createSlugs()
    slug(title)
    for (const { title, declaration } of sections) {
      const anchor = slug(title)
      if (declaration && !places.has(declaration)) places.set(declaration, { file, anchor })
    }
  }
  return (from) => (declaration) => {
    const place = places.get(declaration)
    return place && `${place.file === from.file ? '' : place.file}#${place.anchor}`
  }
}

function renderPage({ title, intro, sections }: Page, link: Link): string {
  const parts = sections.flatMap(({ depth, title, body }) => [
    `${'#'.repeat(depth)} ${title}`,
    body(link),
  ])
  return `${[`# ${title}`, intro, ...parts].filter(Boolean).join('\n\n')}\n`
}

/** A docstring as a document: its tags in words, codes of errors linked to what docs/errors.md says of them. */
export function docToMarkdown(doc: string): string {
  // A tag may follow a sentence: `Ends it. @throws {PlinthError} CONFLICT`.
  const [text = '', ...tags] = doc.replace(/(?<=\S) (?=@throws )/, '\n').split(/^@/m)
  const after: string[] = []
  const told = tags.map((tag) => {
    const [, name = '', rest = ''] = /^(\w+)\s*([\s\S]*)$/.exec(tag.trim()) ?? []
    // What comes after an empty line is no part of it.
    const [first = '', ...paragraphs] = rest.split(/\n{2,}/)
    after.push(...paragraphs.map((paragraph) => linkErrors(escapeText(paragraph))))
    return `- ${renderTag(name, escapeText(first).replaceAll(/\n\s*/g, ' '))}`
  })
  return [escapeText(text.trim()), told.join('\n'), ...after].filter(Boolean).join('\n\n')
}

function renderTag(name: string, text: string): string {
  if (name === 'param' || name === 'template') {
    const [, parameter = '', rest = ''] = /^(\S+)\s*([\s\S]*)$/.exec(text) ?? []
    return `\`${parameter}\`: ${rest}`
  }
  if (name === 'throws') return `Throws ${linkErrors(text.replace(/^\{(\w+)\}/, '`$1`'))}`
  if (name === 'returns') return `Returns ${text}`
  return `${name}: ${text}`
}

const linkErrors = (text: string): string =>
  text.replaceAll(/\b[A-Z][A-Z]+(?:_[A-Z]+)*\b/g, (code) => {
    const found = errors[code as keyof typeof errors]
    return found ? `[\`${code}\`](../errors.md#${code.toLowerCase()}-${found.statusCode})` : code
  })

/** Of text, not of what is between backticks: links of docstrings as code, and no HTML. */
function escapeText(text: string): string {
  return text
    .replaceAll(/\{@link ([^}]+)\}/g, '`$1`')
    .split(/(`[^`]*`)/)
    .map((part, index) => (index % 2 === 0 ? part.replaceAll('<', '&lt;') : part))
    .join('')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  rmSync(FOLDER, { recursive: true, force: true })
  mkdirSync(FOLDER, { recursive: true })
  for (const [name, text] of Object.entries(await renderReference()))
    writeFileSync(join(FOLDER, name), text)
}
