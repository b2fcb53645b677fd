import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { manage } from '../helpers/manage.ts'
import { run } from '../helpers/pack.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const MODULES = join(ROOT, 'node_modules')
const COUNT = 200
const NUMBERS = Array.from({ length: COUNT }, (_, index) => index)
const GIT = {
  GIT_AUTHOR_NAME: 'Ann',
  GIT_AUTHOR_EMAIL: 'ann@example.com',
  GIT_COMMITTER_NAME: 'Ann',
  GIT_COMMITTER_EMAIL: 'ann@example.com',
}

const home = mkdtempSync(join(tmpdir(), 'plinth-versions-'))
t.teardown(() => rmSync(home, { recursive: true }))

const tool = (number: number) => `tools/part-${number}.js`
/** A file of 12 lines, some of which are otherwise. */
const part = (number: number, lines: Record<number, string> = {}) =>
  Array.from({ length: 12 }, (_, line) => `${lines[line] ?? `// ${number}, line ${line}`}\n`).join(
    '',
  )

function edit(path: string, change: (text: string) => string): void {
  const before = readFileSync(path, 'utf8')
  const after = change(before)
  if (after === before) throw new Error(`nothing is changed in ${path}`)
  writeFileSync(path, after)
}

const replaced = (from: string, to: string) => (text: string) => text.replace(from, () => to)

// What is changed of a kit are its sources.
const SOURCES = ['--conditions=plinth-source']

/** The kit as another version of it, whose template is another one. */
function kitOf(version: string, lines: Record<number, string>, change: (kit: string) => void) {
  const kit = join(home, version)
  for (const name of ['bin', 'src', 'plugins', 'commands', 'templates', 'package.json'])
    cpSync(join(ROOT, name), join(kit, name), { recursive: true })
  symlinkSync(MODULES, join(kit, 'node_modules'))
  edit(join(kit, 'package.json'), (text) =>
    text.replace(/"version": ".*"/, `"version": "${version}"`),
  )
  mkdirSync(join(kit, 'templates/service/tools'))
  for (const number of NUMBERS)
    writeFileSync(join(kit, 'templates/service', tool(number)), part(number, lines))
  change(kit)
  return kit
}

const SECOND = { 11: '// of the second version' }
const THIRD = { ...SECOND, 5: '// of the third version' }
const first = kitOf('0.0.1', {}, () => {})
const second = kitOf('0.0.2', SECOND, secondTemplate)
const third = kitOf('0.0.3', THIRD, (kit) => {
  secondTemplate(kit)
  const template = join(kit, 'templates/service')
  mkdirSync(join(template, 'scripts'))
  renameSync(join(template, tool(1)), join(template, 'scripts/part-1.js'))
  edit(
    join(kit, 'src/template/upgrade.ts'),
    replaced(
      'const RENAMES: Renames = {}',
      `const RENAMES: Renames = { '${tool(1)}': 'scripts/part-1.js' }`,
    ),
  )
  // A change of the kit that breaks what services have written.
  edit(
    join(kit, 'src/template/codemods.ts'),
    replaced(
      'CODEMODS: readonly Codemod[] = [',
      "CODEMODS: readonly Codemod[] = [{ name: 'new-words', summary: 'tools.old is tools.fresh', change: (source) => renameMember(source, 'tools', 'old', 'fresh') },",
    ),
  )
  rmSync(join(template, tool(2)))
  // Where the team has written, too.
  writeFileSync(join(template, tool(3)), part(3, { ...THIRD, 0: '// theirs' }))
})

function secondTemplate(kit: string): void {
  const template = join(kit, 'templates/service')
  edit(join(template, 'package.json.in'), replaced('"check": "tsc', '"check": "tsc --pretty'))
  edit(join(template, 'bin/manage'), replaced('# Runs', '# It runs'))
  writeFileSync(join(template, 'tools/new.js'), '// new\n')
}

/** The service, and what its team does. */
class Team {
  readonly #t: Test
  readonly folder: string

  constructor(t: Test, folder: string) {
    this.#t = t
    this.folder = folder
  }

  async by(kit: string, ...args: string[]) {
    const began = performance.now()
    const ended = await manage(this.#t, args, {
      program: [process.execPath, ...SOURCES, join(kit, 'bin/manage')],
      cwd: this.folder,
      env: { ...GIT, PLINTH_SERVICE: this.folder },
    })
    return { ...ended, seconds: (performance.now() - began) / 1000 }
  }

  at = (path: string) => join(this.folder, path)
  read = (path: string) => readFileSync(this.at(path), 'utf8')
  lines = (path: string) => this.read(path).split(/\r?\n/)

  async git(...args: string[]) {
    return (await run('git', args, { cwd: this.folder, env: { ...process.env, ...GIT } })).stdout
  }

  async commit() {
    await this.git('add', '--all')
    await this.git('commit', '--quiet', '-m', 'Ours')
  }
}

/** What a team does in all files, and in some of them. */
function work(team: Team): void {
  for (const number of NUMBERS)
    edit(team.at(tool(number)), replaced(`// ${number}, line 0`, `// team ${number}`))
  edit(team.at('src/service.ts'), replaced('export default', '// team\nexport default'))
  edit(team.at('src/notes/model.ts'), replaced('/** One', '// team\n\n/** One'))
  edit(team.at('package.json'), replaced('"scripts": {', '"scripts": {\n    "own": "true",'))
  edit(team.at('README.md'), () => 'team\n')
  edit(team.at(tool(4)), (text) => text.replaceAll('\n', '\r\n'))
  rmSync(team.at(tool(5)))
  renameSync(team.at(tool(6)), team.at('tools/renamed.js'))
  rmSync(team.at('commands/notes.ts'))
  writeFileSync(team.at('tools/own.js'), 'export const own = (tools) => tools.old(1)\n')
}

/** Files of the team's, and one of its lines in each. */
const OURS: [path: string, line: string][] = [
  ...NUMBERS.filter((number) => ![1, 5, 6].includes(number)).map((number): [string, string] => [
    tool(number),
    `// team ${number}`,
  ]),
  ['scripts/part-1.js', '// team 1'],
  ['tools/renamed.js', '// team 6'],
  ['src/service.ts', '// team'],
  ['src/notes/model.ts', '// team'],
  ['package.json', '    "own": "true",'],
  ['README.md', 'team'],
]

const lost = (team: Team) => OURS.filter(([path, line]) => !team.lines(path).includes(line))

t.test('over two versions nothing of the team is lost, and the result works', async (t) => {
  const made = await manage(t, ['new', 'shop', '--yes', '--database', 'sqlite'], {
    program: [process.execPath, ...SOURCES, join(first, 'bin/manage')],
    cwd: home,
    env: GIT,
  })
  t.equal(made.code, 0, made.stderr)
  const shop = new Team(t, join(home, 'shop'))
  work(shop)
  await shop.commit()
  cpSync(shop.folder, join(home, 'direct'), { recursive: true })
  const direct = new Team(t, join(home, 'direct'))

  const one = await shop.by(second, 'upgrade')
  t.match(one, { code: 0, stderr: '' })
  t.match(one.stdout, /^left {5}tools\/part-5\.js: the team has deleted it/m)
  t.match(one.stdout, /^left {5}tools\/part-6\.js: the team has deleted it/m, 'or renamed')
  t.match(one.stdout, /^created {2}tools\/new\.js$/m)
  t.strictSame(
    shop.lines(tool(4)).slice(0, 12),
    part(4, { 0: '// team 4', ...SECOND })
      .split('\n')
      .slice(0, 12),
  )
  t.match(shop.read(tool(4)), /^(?:.*\r\n){12}$/, 'its lines end as the team has them')
  await shop.commit()
  t.match(await shop.by(second, 'upgrade'), { code: 0, stdout: '', stderr: /up to date/ })
  for (const number of NUMBERS.slice(10))
    edit(shop.at(tool(number)), replaced(`// ${number}, line 2`, '// team again'))
  await shop.commit()

  const two = await shop.by(third, 'upgrade')
  t.match(two, { code: 1, stderr: /1 file has <<<<<<</ }, 'both have changed one line')
  t.match(two.stdout, /^conflict tools\/part-3\.js: 1 place/m)
  t.match(two.stdout, /^left {5}tools\/part-2\.js: the template has it no more/m)
  t.match(two.stdout, /^deleted {2}tools\/part-1\.js: it is scripts\/part-1\.js now$/m)
  t.match(two.stdout, /^changed {2}tools\/own\.js: tools\.old is tools\.fresh$/m)
  t.equal(shop.read('tools/own.js'), 'export const own = (tools) => tools.fresh(1)\n')
  t.strictSame(lost(shop), [])
  t.strictSame(
    NUMBERS.slice(10).filter(
      (number) =>
        shop.read(tool(number)) !==
        part(number, { 0: `// team ${number}`, 2: '// team again', ...THIRD }),
    ),
    [],
    'all that three have changed',
  )
  t.match(JSON.parse(shop.read('package.json')), {
    scripts: { own: 'true', check: /^tsc --pretty/ },
    dependencies: { plinth: '^0.0.1' },
  })
  t.match(shop.read('bin/manage'), '# It runs')
  t.strictSame(
    readdirSync(shop.at('.'), { recursive: true }).filter((path) =>
      ['commands/notes.ts', tool(5), tool(6)].includes(String(path)),
    ),
    [],
    'what is deleted stays deleted',
  )
  edit(shop.at(tool(3)), (text) => text.replace(/<{7}.*\n(.*\n)[\s\S]*>{7}.*\n/, '$1'))
  await shop.commit()
  t.match(await shop.by(third, 'upgrade'), { code: 0, stdout: '', stderr: /up to date/ })
  t.equal(await shop.git('status', '--porcelain'), '', 'a second one changes nothing')

  const both = await direct.by(third, 'upgrade')
  t.match(both, { code: 1, stderr: /1 file has <<<<<<</ })
  t.match(both.stdout, /^changed {2}tools\/own\.js: /m)
  t.strictSame(lost(direct), [])
  t.comment(`${COUNT} edited files over two versions at once: ${both.seconds.toFixed(2)} s`)

  await t.test('it compiles, lints and passes its tests', async (t) => {
    const modules = shop.at('node_modules')
    mkdirSync(join(modules, '.bin'), { recursive: true })
    const shared = readdirSync(MODULES).filter((name) => !/^(\.|plinth$)/.test(name))
    for (const name of shared) symlinkSync(join(MODULES, name), join(modules, name))
    symlinkSync(third, join(modules, 'plinth'))
    symlinkSync(join(third, 'bin/manage'), join(modules, '.bin/manage'))
    const own = (program: string, ...args: string[]) =>
      run('env', ['NODE_OPTIONS=--conditions=plinth-source', program, ...args], {
        cwd: shop.folder,
      })
    const bin = (name: string) => join(MODULES, '.bin', name)
    await t.resolves(own(bin('tsc'), '--customConditions', 'plinth-source'), 'types')
    await t.resolves(own(bin('biome'), 'check', '--write', '.'), 'style')
    await t.resolves(own('npm', 'test'), 'its tests')
  })
})
