import { posix } from 'node:path'
import { Marked, Renderer, type Tokens } from 'marked'
import { escapeHtml, highlight } from './highlight.ts'
import type { Group } from './navigation.ts'
import type { Destination, Page } from './pages.ts'

/** What the pages of one site have in common. */
export interface Site {
  readonly name: string
  readonly groups: readonly Group[]
}

/** What a link of the page `from` says to reach `target`. */
function relative(from: Page, target: string): string {
  return posix.relative(posix.dirname(from.target), target)
}

/** A page of the site, whole. */
export function renderPage(
  page: Page,
  site: Site,
  destinations: ReadonlyMap<object, Destination>,
): string {
  const root = relative(page, '.') || '.'
  const title = page.target === 'index.html' ? site.name : `${page.title} · ${site.name}`
  return `<!doctype html>
<html lang="${page.lang}" data-root="${root}/">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${root}/style.css">
<script src="${root}/client.js"></script>
</head>
<body>
<header>
<a class="name" href="${root}/index.html">${escapeHtml(site.name)}</a>
<search><input type="search" placeholder="Search / 搜索" aria-label="Search" autocomplete="off"><div id="found"></div></search>
<a class="menu" href="#menu">Menu</a>
<button type="button" id="theme" aria-label="Light or dark">◐</button>
</header>
<main>
${renderContents(page)}
<article>
${renderBody(page, destinations)}
</article>
</main>
<nav id="menu" aria-label="All pages">
${renderMenu(page, site)}
</nav>
</body>
</html>
`
}

function renderMenu(from: Page, { groups }: Site): string {
  const item = (page: Page) => {
    const current = page === from ? ' aria-current="page"' : ''
    return `<li><a href="${relative(from, page.target)}"${current}>${escapeHtml(page.title)}</a></li>`
  }
  return groups
    .map(([title, pages]) => `<h2>${title}</h2>\n<ul>${pages.map(item).join('\n')}</ul>`)
    .join('\n')
}

/** What is on the page, where there is more than one thing. */
function renderContents({ headings, lang }: Page): string {
  const listed = headings.filter(({ depth }) => depth === 2 || depth === 3)
  if (listed.length < 2) return ''
  const items = listed.map(
    ({ depth, anchor, text }) =>
      `<li class="depth-${depth}"><a href="#${anchor}">${escapeHtml(text)}</a></li>`,
  )
  const summary = lang === 'zh-CN' ? '本页内容' : 'On this page'
  return `<details class="contents"><summary>${summary}</summary><ul>${items.join('\n')}</ul></details>`
}

function renderBody(page: Page, destinations: ReadonlyMap<object, Destination>): string {
  const anchors = new Map(page.headings.map(({ token, anchor }) => [token as object, anchor]))
  const marked = new Marked({
    renderer: {
      heading(token) {
        const anchor = anchors.get(token)
        const { depth } = token
        return `<h${depth} id="${anchor}">${this.parser.parseInline(token.tokens)} <a class="anchor" href="#${anchor}" aria-hidden="true" tabindex="-1">#</a></h${depth}>\n`
      },
      code({ text, lang = '' }) {
        return `<pre><code>${highlight(text, lang)}</code></pre>\n`
      },
      table(token) {
        return `<div class="table">${Renderer.prototype.table.call(this, token)}</div>\n`
      },
      link(token) {
        const text = this.parser.parseInline(token.tokens)
        const href = hrefOf(page, destinations.get(token))
        return href === undefined ? text : `<a href="${escapeHtml(href)}">${text}</a>`
      },
      image(token) {
        const href = hrefOf(page, destinations.get(token)) ?? ''
        return `<img src="${escapeHtml(href)}" alt="${escapeHtml(token.text)}">`
      },
      // A line that ends between two Chinese characters is no space between them.
      text(token: Tokens.Text | Tokens.Escape) {
        return Renderer.prototype.text.call(this, { ...token, text: joinHan(token.text) })
      },
      html({ text }) {
        return text.replaceAll(/<!--[\s\S]*?-->/g, '')
      },
    },
  })
  return marked.parser([...page.tokens])
}

/** `undefined`: it is in the repository, and not in the site. */
function hrefOf(from: Page, destination: Destination | undefined): string | undefined {
  switch (destination?.kind) {
    case 'away':
      return destination.url
    case 'file':
      return encodeURI(relative(from, destination.path))
    case 'page': {
      const { page, anchor } = destination
      const path = page === from && anchor ? '' : relative(from, page.target)
      return `${encodeURI(path)}${anchor && `#${encodeURI(anchor)}`}`
    }
  }
  return undefined
}

/** Without the line breaks that stand between Chinese characters. */
export const joinHan = (text: string): string =>
  text.replaceAll(/(?<=[\p{Script=Han}，。、；：！？）])\s*\n\s*(?=[\p{Script=Han}（])/gu, '')
