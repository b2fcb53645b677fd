import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { commands } from '../../commands/_table.ts'
import { docToMarkdown, renderReference } from '../../site/reference.ts'
import { errors } from '../../src/errors.ts'
import { kitOwners } from '../../src/kit.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const titles = (path: string) =>
  Array.from(read(path).matchAll(/^#{2,3} (.+)$/gm), ([, title]) => title?.replaceAll('`', ''))

t.test('docs/reference says what the code says; npm run reference writes it anew', async (t) => {
  const wanted = await renderReference()
  const there = globSync('docs/reference/*', { cwd: ROOT }).map((path) => basename(path))
  t.strictSame(there.sort(), Object.keys(wanted).sort())
  for (const [name, text] of Object.entries(wanted))
    t.equal(read(`docs/reference/${name}`), text, name)
})

/** What can be imported that is no plugin, with its page. */
const entries = Object.keys(JSON.parse(read('package.json')).exports)
  .filter((path) => !/\*|json$/.test(path))
  .map((path) => ({
    entry: join('plinth', path),
    page: `docs/reference/${path === '.' ? 'plinth' : path.slice(2)}.md`,
  }))

t.test('it has every export of every entry', async (t) => {
  for (const { entry, page } of entries) {
    const exported = Object.keys(await import(entry))
    t.not(exported.length, 0)
    const listed = new Set(titles(page))
    t.strictSame(
      exported.filter((name) => !listed.has(name)),
      [],
      entry,
    )
  }
})

t.test('every export has a docstring, but options: each of them has one', async (t) => {
  for (const page of [...entries.map(({ page }) => page), 'docs/reference/plugins.md']) {
    const sections = read(page)
      .split(/^#{2,3} /m)
      .slice(1)
    const bare = sections
      .filter((section) => /^.+\n\n```/.test(section))
      .map((section) => section.split('\n', 1)[0])
    t.strictSame(
      bare.filter((name) => !name?.endsWith('Options')),
      [],
      page,
    )
  }
})

t.test('it has the types that src/index.ts exports', async (t) => {
  const source = read('src/index.ts')
  const names = Array.from(source.matchAll(/export (type )?\{([^}]+)\}/g), ([, , names = '']) =>
    names.split(','),
  )
  const exported = names.flat().map((name) => name.replace(/^\s*type /, '').trim())
  const listed = new Set(titles('docs/reference/plinth.md'))
  t.strictSame(
    exported.filter((name) => name !== '' && !listed.has(name)),
    [],
  )
})

t.test('it has every plugin, with its variables', async (t) => {
  const page = read('docs/reference/plugins.md')
  const plugins = globSync('plugins/*.ts', { cwd: ROOT }).map((path) => basename(path, '.ts'))
  const listed = titles('docs/reference/plugins.md')
  t.strictSame(
    plugins.filter((name) => !listed.includes(`plinth/plugins/${name}`)),
    [],
  )
  const variables = kitOwners.flatMap(({ schema }) => Object.keys(schema.properties))
  t.strictSame(
    variables.filter((name) => !page.includes(`\`${name}\``)),
    [],
  )
})

t.test('it has every command, with its arguments and flags', async (t) => {
  const sections = read('docs/reference/commands.md').split(/^## /m)
  for (const [id, { load }] of Object.entries(commands)) {
    const { flags = {}, args = {} } = (await load()).default
    const section = sections.find((one) => one.startsWith(`${id.replace(':', ' ')}\n`)) ?? ''
    const shown = Object.entries(flags).filter(([, { hidden }]) => !hidden)
    const missing = [
      ...shown.map(([name]) => `--${name}`),
      ...Object.keys(args).map((name) => name.toUpperCase()),
    ].filter((name) => !section.includes(name))
    t.strictSame(missing, [], id)
  }
})

t.test('it links the pages that tests hold to the errors, variables and metrics', async (t) => {
  const index = read('docs/reference/README.md')
  for (const page of ['commands', 'configuration', 'errors', 'telemetry'])
    t.match(index, `(../${page}.md`)
})

t.test('a docstring is a document', async (t) => {
  const { statusCode } = errors.CONFLICT
  t.equal(
    docToMarkdown(
      'Waits, see {@link Resource}, of `Map<K>` and <K>.\n\n@param time in ms,\n  0: never\n@throws {PlinthError} CONFLICT, and more',
    ),
    `Waits, see \`Resource\`, of \`Map<K>\` and &lt;K>.

- \`time\`: in ms, 0: never
- Throws \`PlinthError\` [\`CONFLICT\`](../errors.md#conflict-${statusCode}), and more`,
  )
  t.equal(
    docToMarkdown('Ends it. @throws {PlinthError} X_Y'),
    'Ends it.\n\n- Throws `PlinthError` X_Y',
  )
})
