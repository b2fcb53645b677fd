import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { joinHan, renderPage, type Site } from './html.ts'
import { groupPages } from './navigation.ts'
import { type Destination, findDestination, type Page, readPages, textOf } from './pages.ts'

// npm run site [-- FOLDER [REPOSITORY]]: makes the site of the documents. Exit code 1 where a link leads nowhere: then nothing is written.

const HERE = fileURLToPath(new URL('.', import.meta.url))

/** What is searched, as a script that a page from a file may load. */
const SECTIONS = 'sections.js'

interface Manifest {
  readonly name: string
  readonly description: string
}

/**
 * Makes the site of a repository's documents.
 *
 * @param out the folder: there is none, or it is empty, or has a site, which goes
 * @returns what is wrong, a line each: then nothing is written
 */
export function buildSite(root: string, out: string): string[] {
  const pages = readPages(root)
  const bySource = new Map(pages.map((page) => [page.source, page]))
  const destinations = new Map<object, Destination>()
  const problems = pages.flatMap((page) =>
    page.links.flatMap(({ token, line }) => {
      try {
        destinations.set(token, findDestination(root, bySource, page, token.href))
        return []
      } catch (error) {
        return `${page.source}:${line}: ${token.raw}: ${(error as Error).message}`
      }
    }),
  )
  const isFree =
    !existsSync(out) || readdirSync(out).length === 0 || existsSync(join(out, SECTIONS))
  if (!isFree) problems.push(`${out} has files that are no site`)
  if (problems.length > 0) return problems

  const { name, description } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  ) as Manifest
  const groups = groupPages(pages, destinations)
  const site: Site = { name: name.charAt(0).toUpperCase() + name.slice(1), groups }
  rmSync(out, { recursive: true, force: true })
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(out, path)), { recursive: true })
    writeFileSync(join(out, path), text)
  }
  for (const page of pages) write(page.target, renderPage(page, site, destinations))
  // What llms.txt lists.
  for (const { source, markdown } of groups.flatMap(([, listed]) => listed)) write(source, markdown)
  for (const destination of destinations.values())
    if (destination.kind === 'file')
      cpSync(join(root, destination.path), join(out, destination.path))
  for (const file of ['style.css', 'client.js']) write(file, readFileSync(join(HERE, file), 'utf8'))
  write(SECTIONS, `window.sections = ${JSON.stringify(pages.flatMap(sectionsOf))}\n`)
  write('llms.txt', renderLlms(site, description))
  write('llms-full.txt', groups.flatMap(([, pages]) => pages.map(renderFull)).join('\n'))
  return []
}

/** What is searched: the address, the title of the page, the heading, the text below it. */
type Section = [url: string, title: string, heading: string, text: string]

function sectionsOf(page: Page): Section[] {
  const sections: Section[] = []
  const headings = new Map(page.headings.map((heading) => [heading.token, heading]))
  for (const token of page.tokens) {
    const heading = headings.get(token)
    const last = sections.at(-1)
    if (heading || !last) {
      const { anchor = '', text = page.title } = heading ?? {}
      const url = sections.length > 0 ? `${page.target}#${anchor}` : page.target
      sections.push([url, page.title, text, heading ? '' : textOf(token)])
    } else last[3] += ` ${textOf(token)}`
  }
  return sections.map(([url, title, heading, text]) => [url, title, heading, plain(text)])
}

const plain = (text: string) => joinHan(text).replaceAll(/\s+/g, ' ').trim()

/** For language models: https://llmstxt.org */
function renderLlms({ name, groups }: Site, description: string): string {
  const item = (page: Page) => {
    const first = page.tokens.find(({ type }) => type === 'paragraph')
    const [sentence = ''] = plain(first ? textOf(first) : '').split(/(?<=\.)(?=\s)|(?<=。)/, 1)
    return `- [${page.title}](${page.source})${sentence && `: ${sentence}`}`
  }
  const parts = groups.map(([title, pages]) => `## ${title}\n\n${pages.map(item).join('\n')}\n`)
  return `# ${name}\n\n> ${description}\n\nAll of it in one file: [llms-full.txt](llms-full.txt).\n\n${parts.join('\n')}`
}

const renderFull = ({ source, markdown }: Page) => `<!-- ${source} -->\n\n${markdown}`

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , out = join(HERE, 'out'), root = join(HERE, '..')] = process.argv
  const problems = buildSite(resolve(root), resolve(out))
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) process.exitCode = 1
  else
    console.log(`${join(resolve(out), 'index.html')} in ${(performance.now() / 1000).toFixed(1)} s`)
}
