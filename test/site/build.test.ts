import { existsSync, globSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { buildSite } from '../../site/build.ts'
import { startBrowser } from '../helpers/browser.ts'
import { manageAlone } from '../helpers/manage.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const BUILD = join(ROOT, 'site/build.ts')

const site = join(t.testdir(), 'site')
t.strictSame(buildSite(ROOT, site), [])
const pages = globSync('**/*.html', { cwd: site }).sort()

/** A repository with these files. */
function repository(t: Test, files: Readonly<Record<string, string>>): string {
  const folder = t.testdir({ 'package.json': '{"name": "shop", "description": "Sells tea"}' })
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return folder
}

/** What a page refers to. */
const linksOf = (path: string): string[] =>
  Array.from(
    readFileSync(join(site, path), 'utf8').matchAll(/\s(?:href|src)="([^"]*)"/g),
    ([, href]) => decodeURI(href as string).replaceAll('&amp;', '&'),
  )

t.test('there is a page of each document, and a way to it', async (t) => {
  const sources = globSync(['*.md', 'docs/**/*.md', 'examples/*/README.md'], { cwd: ROOT })
  t.equal(pages.length, sources.length + 1, 'and one of all decisions')
  const listed = ['index.html', 'docs/decisions/index.html'].flatMap((path) =>
    linksOf(path).map((href) => join(dirname(path), href)),
  )
  t.strictSame(
    pages.filter((path) => !listed.includes(path)),
    [],
  )
})

t.test('each link of the site leads somewhere, and nothing is loaded from elsewhere', async (t) => {
  const ids = new Map<string, Set<string>>()
  for (const path of pages) {
    const html = readFileSync(join(site, path), 'utf8')
    ids.set(path, new Set(Array.from(html.matchAll(/\sid="([^"]+)"/g), ([, id]) => id as string)))
    t.notMatch(html, /<(?:link|script|img)[^>]+(?:href|src)="(?:https?:|\/)/, path)
  }
  const dead: string[] = []
  for (const path of pages) {
    for (const href of linksOf(path).filter((href) => !/^[a-z]+:/.test(href))) {
      const [file = '', anchor] = href.split('#')
      const target = file === '' ? path : join(dirname(path), file)
      const isThere = existsSync(join(site, target)) && (!anchor || ids.get(target)?.has(anchor))
      if (!isThere) dead.push(`${path}: ${href}`)
    }
  }
  t.strictSame(dead, [])
})

t.test('all of its pages are less than 5 MB', async (t) => {
  const sizes = pages.map((path) => statSync(join(site, path)).size)
  t.ok(sizes.reduce((sum, size) => sum + size, 0) < 5_000_000)
})

t.test('llms.txt lists the documents, and llms-full.txt has them', async (t) => {
  const list = readFileSync(join(site, 'llms.txt'), 'utf8')
  t.match(list, /^# Plinth\n\n> A pedestal for Fastify/)
  const links = Array.from(list.matchAll(/^- \[.+?\]\((.+?)\)/gm), ([, path]) => path as string)
  t.ok(links.includes('docs/resources.md'))
  const full = readFileSync(join(site, 'llms-full.txt'), 'utf8')
  for (const path of links) {
    t.ok(existsSync(join(site, path)), path)
    t.ok(full.includes(readFileSync(join(site, path), 'utf8').trim()), path)
  }
})

t.test('a link that leads nowhere fails, with its file and line', async (t) => {
  const root = repository(t, {
    'README.md':
      '# Shop\n\nSee [tea](docs/tea.md#green) and\n[all](docs/) of [it](docs/coffee.md).\n',
    'docs/tea.md':
      '# Tea\n\n| a | b |\n| --- | --- |\n| [x](#tea) | [y](#milk) |\n\n```md\n[no link](nowhere.md)\n```\n\n[up](../../other.md)\n',
  })
  const out = join(root, 'out')
  const ended = await manageAlone(t, [out, root], { program: [process.execPath, BUILD] })
  t.match(ended, { code: 1, stdout: '' })
  t.strictSame(ended.stderr.trim().split('\n'), [
    'README.md:3: [tea](docs/tea.md#green): docs/tea.md has no heading #green',
    'README.md:4: [it](docs/coffee.md): there is no docs/coffee.md',
    'docs/tea.md:5: [y](#milk): docs/tea.md has no heading #milk',
    'docs/tea.md:11: [up](../../other.md): there is no ../other.md',
  ])
  t.notOk(existsSync(out))
})

t.test('a folder with other files is left alone', async (t) => {
  const root = repository(t, { 'README.md': '# Shop\n', 'out/letter.txt': 'Dear' })
  const out = join(root, 'out')
  t.strictSame(buildSite(root, out), [`${out} has files that are no site`])
  t.strictSame(globSync('*', { cwd: out }), ['letter.txt'])
  t.strictSame(buildSite(root, join(root, 'site')), [])
  t.strictSame(buildSite(root, join(root, 'site')), [], 'its own it makes anew')
})

t.test('headings have the anchors that they have on GitHub, and code is text', async (t) => {
  const root = repository(t, {
    'README.md':
      '# Shop\n\n## `tea`: green & black!\n\n## Tea\n\n## Tea\n\n## 绿茶 (green)\n\n```ts\nconst a: Array<B> = "<b>"\n```\n\n```console\n$ echo 1 > <x>\n<y>\n```\n',
  })
  const out = join(root, 'out')
  t.strictSame(buildSite(root, out), [])
  const html = readFileSync(join(out, 'index.html'), 'utf8')
  const ids = Array.from(html.matchAll(/<h\d id="([^"]+)"/g), ([, id]) => id)
  t.strictSame(ids, ['shop', 'tea-green--black', 'tea', 'tea-1', '绿茶-green'])
  const [first = '', second = ''] = Array.from(
    html.matchAll(/<pre><code>(.*?)<\/code>/gs),
    ([, code]) => code,
  )
  const plain = (code: string) => code.replaceAll(/<\/?(?:span|b)[^>]*>/g, '')
  t.equal(plain(first), 'const a: Array&lt;B&gt; = &quot;&lt;b&gt;&quot;')
  t.match(first, '<span class="kwd">const</span>')
  t.equal(plain(second), '$ echo 1 &gt; &lt;x&gt;\n&lt;y&gt;')
})

/** A page of a browser, with each URL that it asks for and all that it has to say. */
async function openPage(browser: Browser, width: number) {
  const page = await browser.newPage({ viewport: { width, height: 900 } })
  const asked: string[] = []
  const said: string[] = []
  page.on('request', (request) => asked.push(request.url()))
  page.on('requestfailed', (request) => said.push(`${request.url()} failed`))
  page.on('console', (message) => said.push(message.text()))
  page.on('pageerror', (error) => said.push(String(error)))
  const open = (path: string, folder = site) => page.goto(pathToFileURL(join(folder, path)).href)
  return { page, asked, said, open }
}

/** What a search finds first. */
async function find(page: Page, words: string): Promise<string> {
  await page.fill('search input', words)
  const first = page.locator('#found a').first()
  await first.waitFor()
  return (await first.getAttribute('href')) ?? ''
}

t.test('in a browser', async (t) => {
  // The pages are files.
  const browser = await startBrowser({ offline: true })
  t.teardown(() => browser.close())
  for (const width of [1280, 390]) {
    await t.test(`no page is wider than ${width} px, and none complains`, async (t) => {
      const { page, asked, said, open } = await openPage(browser, width)
      const wide: string[] = []
      // Decisions are all of one kind.
      for (const path of pages.filter((path) => width < 400 || !/decisions\/\d/.test(path))) {
        await open(path)
        const { scrollWidth, clientWidth } = (await page.evaluate(
          'const { scrollWidth, clientWidth } = document.documentElement; ({ scrollWidth, clientWidth })',
        )) as { scrollWidth: number; clientWidth: number }
        if (scrollWidth > clientWidth) wide.push(`${path}: ${scrollWidth}`)
      }
      t.strictSame(wide, [])
      t.strictSame(said, [])
      t.strictSame(
        asked.filter((url) => !url.startsWith(pathToFileURL(site).href)),
        ['data:,'].filter((url) => asked.includes(url)),
      )
      await page.close()
    })

    await t.test(`search finds English and Chinese words at ${width} px`, async (t) => {
      const { page, said, open } = await openPage(browser, width)
      await open('docs/cache.html')
      await page.focus('search input')
      t.match(await find(page, 'defineResource'), 'docs/reference/plinth.html#defineresource')
      t.match(await find(page, 'NOT_FOUND'), 'docs/errors.html#not_found-404')
      t.match(await find(page, '点起关闭'), 'docs/languages.html')
      await page.press('search input', 'Enter')
      await page.waitForURL(/languages\.html/)
      t.strictSame(said, [])
      await page.close()
    })
  }

  await t.test(
    'Chinese is found by parts of what is asked, also over the end of a line',
    async (t) => {
      const root = repository(t, {
        'README.md': '# Shop\n\nTransactions are short.\n',
        'README.zh-CN.md':
          '# 商店\n\n## 任务\n\n任务在后台\n运行，失败时重试。\n\n## 缓存\n\n结果被缓存。\n',
      })
      const out = join(root, 'out')
      t.strictSame(buildSite(root, out), [])
      const { page, open } = await openPage(browser, 390)
      await open('README.zh-CN.html', out)
      t.equal(await page.getAttribute('html', 'lang'), 'zh-CN')
      t.match(await page.textContent('article'), '任务在后台运行，失败时重试。')
      await page.focus('search input')
      t.match(await find(page, '后台运行'), 'README.zh-CN.html#任务')
      t.match(await find(page, '失败重试'), 'README.zh-CN.html#任务')
      t.match(await find(page, '缓存的结果'), 'README.zh-CN.html#缓存')
      t.match(await find(page, 'transaction'), 'index.html')
      t.match(await find(page, 'short things'), 'index.html', 'of words the most')
      await page.fill('search input', '没有的词')
      t.equal(await page.locator('#found a').count(), 0)
      await page.close()
    },
  )

  await t.test('it is light or dark as the system is, and as somebody says', async (t) => {
    const { page, open } = await openPage(browser, 1280)
    const background = () => page.evaluate('getComputedStyle(document.body).backgroundColor')
    await page.emulateMedia({ colorScheme: 'dark' })
    await open('index.html')
    const dark = await background()
    await page.emulateMedia({ colorScheme: 'light' })
    const light = await background()
    t.not(light, dark)
    await page.click('#theme')
    t.equal(await background(), dark)
    await open('docs/auth.html')
    t.equal(await background(), dark, 'it is kept')
    await page.close()
  })
})
