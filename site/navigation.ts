import type { Destination, Page } from './pages.ts'

/** Pages that are found together. */
export type Group = readonly [title: string, pages: readonly Page[]]

const HOME = 'README.md'
/** Its sections and their links are the menu. */
const CONTENTS = 'docs/index.md'
const REFERENCE = /^docs\/reference\//
/** The page of all decisions lists them. */
const DECISION = /^docs\/decisions\/\d/

/** The pages as the contents list them, those in Chinese by themselves, and then what is listed nowhere. */
export function groupPages(
  pages: readonly Page[],
  destinations: ReadonlyMap<object, Destination>,
): Group[] {
  const left = new Set(pages.filter(({ source }) => !DECISION.test(source)))
  const take = (wanted: readonly Page[]) => wanted.filter((page) => left.delete(page))
  const contents = pages.find(({ source }) => source === CONTENTS)
  const [[, first] = ['', []], ...sections] = contents ? sectionsOf(contents, destinations) : []
  const start = pages.filter(({ source }) => source === HOME || source === CONTENTS)
  const home = take([...start, ...first.filter(({ lang }) => lang === 'en')])
  const chinese = take([...first, ...pages].filter(({ lang }) => lang === 'zh-CN'))
  const listed = sections.map(
    ([title, wanted]): Group => [
      title,
      take(wanted.flatMap((page) => (REFERENCE.test(page.source) ? referencePages(pages) : page))),
    ],
  )
  const groups: Group[] = [['Plinth', home], ['中文', chinese], ...listed, ['More', [...left]]]
  return groups.filter(([, pages]) => pages.length > 0)
}

/** The pages that each part of the contents links, in their order; the first part has no heading of its own. */
function sectionsOf(contents: Page, destinations: ReadonlyMap<object, Destination>): Group[] {
  const starts = contents.headings.filter(({ depth }) => depth < 3)
  return starts.map(({ text, line }, index) => {
    const end = starts[index + 1]?.line ?? Number.POSITIVE_INFINITY
    const linked = contents.links
      .filter((link) => link.line > line && link.line < end)
      .flatMap(({ token }) => {
        const destination = destinations.get(token)
        return destination?.kind === 'page' ? destination.page : []
      })
    return [text, linked]
  })
}

/** The page of all of them first. */
function referencePages(pages: readonly Page[]): Page[] {
  const all = pages.filter(({ source }) => REFERENCE.test(source))
  return all.sort(
    (a, b) => Number(b.target.endsWith('index.html')) - Number(a.target.endsWith('index.html')),
  )
}
