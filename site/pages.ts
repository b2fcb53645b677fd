import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import { Marked, type Token, type Tokens } from 'marked'
import { createSlugs } from './slugs.ts'

/** A document of the repository, and what becomes of it. */
export interface Page {
  /** Its path in the repository: `docs/auth.md`. */
  readonly source: string
  /** Its path in the site: `docs/auth.html`. */
  readonly target: string
  readonly title: string
  readonly lang: 'en' | 'zh-CN'
  readonly markdown: string
  readonly tokens: readonly Token[]
  readonly headings: readonly Heading[]
  /** What a link may point to. */
  readonly anchors: ReadonlySet<string>
  readonly links: readonly Link[]
}

export interface Heading {
  readonly token: Token
  readonly depth: number
  readonly text: string
  readonly anchor: string
  readonly line: number
}

interface Link {
  readonly token: Tokens.Link | Tokens.Image
  readonly line: number
}

const DOCUMENTS = ['*.md', 'docs/**/*.md', 'examples/*/README.md']
const DECISIONS = 'docs/decisions/README.md'

const marked = new Marked()

/** Every document under `root`, and a page that lists the decisions. */
export function readPages(root: string): Page[] {
  const sources = globSync(DOCUMENTS, { cwd: root })
    .map((path) => path.replaceAll('\\', '/'))
    .sort()
  const pages = sources.map((source) => readPage(source, readFileSync(join(root, source), 'utf8')))
  const decisions = pages.filter(({ source }) => posix.dirname(source) === posix.dirname(DECISIONS))
  if (decisions.length === 0 || sources.includes(DECISIONS)) return pages
  const list = decisions.map(({ source, title }) => `- [${title}](${posix.basename(source)})`)
  const intro = 'Why things are as they are: the context, what was decided, what it costs.'
  return [...pages, readPage(DECISIONS, `# Decisions\n\n${intro}\n\n${list.join('\n')}\n`)]
}

function readPage(source: string, markdown: string): Page {
  const tokens = marked.lexer(markdown)
  const slugs = createSlugs()
  const headings: Heading[] = []
  const links: Link[] = []
  const anchors = new Set<string>()
  let line = 1
  for (const block of tokens) {
    // Within the block they come one after the other.
    let at = 0
    marked.walkTokens([block], (token) => {
      if (token.type === 'heading') {
        const text = textOf(token)
        const anchor = slugs(text)
        headings.push({ token, depth: (token as Tokens.Heading).depth, text, anchor, line })
        anchors.add(anchor)
      }
      if (token.type === 'link' || token.type === 'image') {
        at = Math.max(at, block.raw.indexOf(token.raw, at))
        links.push({ token: token as Tokens.Link, line: line + countLines(block.raw.slice(0, at)) })
        at += 1
      }
      if (token.type === 'html') {
        for (const [, id] of token.raw.matchAll(/\s(?:id|name)="([^"]+)"/g))
          anchors.add(id as string)
      }
    })
    line += countLines(block.raw)
  }
  return {
    source,
    target: targetOf(source),
    title: headings[0]?.text ?? source,
    lang: /\bzh\b/.test(source) ? 'zh-CN' : 'en',
    markdown,
    tokens,
    headings,
    anchors,
    links,
  }
}

const countLines = (text: string) => text.split('\n').length - 1

const targetOf = (source: string) =>
  source.replace(/(^|\/)README\.md$/, '$1index.html').replace(/\.md$/, '.html')

/** Where a link leads: a page of the site, a file that the site gets, a file that only the repository has, or elsewhere. */
export type Destination =
  | { readonly kind: 'page'; readonly page: Page; readonly anchor: string }
  | { readonly kind: 'file' | 'source'; readonly path: string }
  | { readonly kind: 'away'; readonly url: string }

/** @throws {Error} the words that say why it leads nowhere */
export function findDestination(
  root: string,
  pages: ReadonlyMap<string, Page>,
  from: Page,
  href: string,
): Destination {
  if (/^[a-z]+:/i.test(href)) return { kind: 'away', url: href }
  const [written = '', anchor = ''] = decodeURI(href).split('#')
  const path =
    written === ''
      ? from.source
      : posix.join(posix.dirname(from.source), written).replace(/\/$/, '')
  const page = pages.get(path) ?? pages.get(posix.join(path, 'README.md'))
  if (page) {
    if (anchor !== '' && !page.anchors.has(anchor))
      throw new Error(`${page.source} has no heading #${anchor}`)
    return { kind: 'page', page, anchor }
  }
  if (path.startsWith('..') || !existsSync(join(root, path))) throw new Error(`there is no ${path}`)
  const isFile = path.startsWith('docs/') && statSync(join(root, path)).isFile()
  return { kind: isFile ? 'file' : 'source', path }
}

/** What is read of a token: without marks, code in it included. */
export function textOf(token: Token): string {
  switch (token.type) {
    case 'html':
    case 'def':
    case 'space':
      return ''
    case 'br':
      return ' '
    case 'table': {
      const { header, rows } = token as Tokens.Table
      return [...header, ...rows.flat()].map(({ tokens }) => tokens.map(textOf).join('')).join(' ')
    }
    case 'list':
      return (token as Tokens.List).items.map(textOf).join(' ')
  }
  const { tokens, text = '' } = token as Tokens.Generic
  if (!tokens) return decodeEntities(text)
  return tokens.map(textOf).join(['list_item', 'blockquote'].includes(token.type) ? ' ' : '')
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"' }

const decodeEntities = (text: string) =>
  text.replaceAll(/&(lt|gt|amp|quot);/g, (_, name) => ENTITIES[name] as string)
