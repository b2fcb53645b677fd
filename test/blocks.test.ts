import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Command } from '@oclif/core/command'
import { parse as parseJavaScript } from 'acorn'
import t from 'tap'
import { parse as parseYaml } from 'yaml'
import { commands } from '../commands/_table.ts'
import { readConsole } from './helpers/console.ts'
import { documents } from './helpers/documents.ts'
import { blocksOf } from './helpers/walk.ts'

// What no other test runs or compiles is read here as what it is for would read it.

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

/** Other tests type each command of these. */
const TYPED = /^(?:README.*|docs\/(?:commands|(?:zh\/)?tutorial|(?:zh\/)?moving-from-django))\.md$/

const blocks = globSync(['*.md', 'docs/**/*.md', 'examples/*/README.md'], { cwd: ROOT })
  .sort()
  .flatMap((page) => blocksOf(read(page)).map((block) => ({ page, ...block })))

const of = (...languages: string[]) => blocks.filter(({ language }) => languages.includes(language))

t.test('every block is in a language that is looked at', async (t) => {
  const looked = ['ts', 'console', 'sh', 'json', 'yaml', 'js', 'ini']
  // What pages are walked by, the reference, which is made from the code, what there was before (Python), and words.
  const others = ['diff', 'log', 'typescript', 'python', '']
  const known = new Set([...looked, ...others])
  t.strictSame(
    blocks.filter(({ language }) => !known.has(language)).map(({ page }) => page),
    [],
  )
  t.ok(of('typescript').every(({ page }) => page.startsWith('docs/reference/')))
  const compiled = new Set([...documents, 'docs/tutorial.md'])
  t.strictSame(
    of('ts')
      .map(({ page }) => page.replace('docs/zh/', 'docs/').replace('README.zh-CN', 'README'))
      .filter((page) => !compiled.has(page)),
    [],
  )
})

t.test('JSON, YAML, settings and JavaScript are such', async (t) => {
  for (const { page, text } of of('json'))
    t.doesNotThrow(() => JSON.parse(text.startsWith('"') ? `{${text}}` : text), page)
  for (const { page, text } of of('yaml')) t.type(parseYaml(text), Object, page)
  for (const { page, text } of of('js'))
    t.doesNotThrow(() => parseJavaScript(text, { ecmaVersion: 'latest' }), page)
  for (const { page, text } of of('ini'))
    for (const line of text.trim().split('\n')) t.match(line, /^(\[[\w:]+\]|\w+=.+)$/, page)
})

/** What somebody is to type, one line each, without what is said of it. */
const lines = [
  ...of('sh').map(({ page, text }) => ({ page, text })),
  ...of('console')
    .filter(({ page }) => !TYPED.test(page))
    .flatMap(({ page, text }) => readConsole(text).map(({ line }) => ({ page, text: line }))),
].flatMap(({ page, text }) =>
  text
    .replaceAll('\\\n', ' ')
    .split('\n')
    .map((line) => ({ page, line: line.replace(/(^|\s)#.*/, '').trim() }))
    .filter(({ line }) => line !== ''),
)

t.test('a shell takes what is to be typed', async (t) => {
  for (const { page, line } of lines) {
    const { status, stderr } = spawnSync('sh', ['-n'], { input: line, encoding: 'utf8' })
    t.equal(status, 0, `${page}: ${line} ${stderr}`)
  }
})

/** Each command by its words: those of the kit, those that a plugin brings, and those of the example. */
async function allCommands(): Promise<Map<string, typeof Command>> {
  const files = ['commands/_users', 'examples/atlas/commands'].flatMap((folder) =>
    globSync('**/*.ts', { cwd: join(ROOT, folder) }).map((file) => ({ folder, file })),
  )
  const found = [
    ...Object.entries(commands).map(([id, { load }]) => [id, load] as const),
    ...files
      .filter(({ file }) => !file.startsWith('_'))
      .map(({ folder, file }) => {
        const url = pathToFileURL(join(ROOT, folder, file)).href
        const load = (): Promise<{ default: typeof Command }> => import(url)
        return [file.replace('.ts', '').replaceAll('/', ':'), load] as const
      }),
  ]
  const loaded = found.map(async ([id, load]) => [id, (await load()).default] as const)
  return new Map(await Promise.all(loaded))
}

/** The words behind each `manage` of a line, up to where its command ends. */
const called = (line: string): string[][] =>
  Array.from(
    line.matchAll(/(?:^|[\s(/])manage ((?:'[^']*'|"[^"]*"|[^'"&|;<>)])*)/g),
    ([, rest = '']) => Array.from(rest.matchAll(/'[^']*'|"[^"]*"|\S+/g), ([word]) => word),
  )

t.test('commands that are to be typed are there, and so are their flags', async (t) => {
  const all = await allCommands()
  let count = 0
  for (const { page, line } of lines) {
    for (const words of called(line)) {
      count++
      const id = [2, 1].map((n) => words.slice(0, n).join(':')).find((one) => all.has(one)) ?? ''
      const command = all.get(id)
      t.ok(command, `${page}: ${line}`)
      const { flags = {}, enableJsonFlag } = command ?? ({} as typeof Command)
      const names = Object.entries(flags).flatMap(([name, flag]) => [
        `--${name}`,
        ...(flag.char ? [`-${flag.char}`] : []),
        ...(flag.type === 'boolean' && flag.allowNo ? [`--no-${name}`] : []),
      ])
      const known = new Set([...names, ...(enableJsonFlag ? ['--json'] : []), '--help'])
      const given = words.filter((word) => /^--?[a-z]/.test(word))
      t.strictSame(
        given.map((word) => word.split('=', 1)[0]).filter((name) => !known.has(name ?? '')),
        [],
        `${page}: ${line}`,
      )
    }
  }
  t.ok(count > 40, `${count} commands`)
})

t.test('scripts that are to be run are there', async (t) => {
  const scripts = ['package.json', 'templates/service/package.json.in'].flatMap((path) =>
    Object.keys(JSON.parse(read(path)).scripts),
  )
  const own = new Set(['install', 'ci', 'create', ...scripts])
  for (const { page, line } of lines)
    for (const [, script = ''] of line.matchAll(/(?:^|[\s&])p?npm (?:run )?([\w:-]+)/g))
      t.ok(own.has(script), `${page}: ${line}`)
})
