import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { kit } from '../../src/process/kit.ts'
import { manage, manageAlone } from '../helpers/manage.ts'
import { run } from '../helpers/pack.ts'

const GIT = {
  GIT_AUTHOR_NAME: 'Ann',
  GIT_AUTHOR_EMAIL: 'ann@example.com',
  GIT_COMMITTER_NAME: 'Ann',
  GIT_COMMITTER_EMAIL: 'ann@example.com',
}

class Made {
  readonly #t: Test
  readonly folder: string

  constructor(t: Test, folder: string) {
    this.#t = t
    this.folder = folder
  }

  manage(...args: string[]) {
    return manage(this.#t, args, { service: this.folder, cwd: this.folder, env: GIT })
  }

  read(path: string): string {
    return readFileSync(join(this.folder, path), 'utf8')
  }

  write(path: string, change: (text: string) => string): void {
    writeFileSync(join(this.folder, path), change(this.read(path)))
  }

  /** As if the template had had this, and the service had been made from it. */
  wasMadeWith(path: string, change: (text: string) => string): void {
    this.write(path, change)
    this.write('.plinth/template.json', (text) => {
      const remembered = JSON.parse(text)
      remembered.files[path] = change(remembered.files[path])
      return JSON.stringify(remembered)
    })
  }

  wasMadeBy(version: string): void {
    this.write('.plinth/template.json', (text) => JSON.stringify({ ...JSON.parse(text), version }))
  }

  async commit(): Promise<void> {
    const options = { cwd: this.folder, env: { ...process.env, ...GIT } }
    await run('git', ['add', '--all'], options)
    await run('git', ['commit', '--quiet', '-m', 'Ours'], options)
  }
}

async function newService(t: Test): Promise<Made> {
  const cwd = mkdtempSync(join(tmpdir(), 'plinth-upgrade-'))
  t.teardown(() => rmSync(cwd, { recursive: true }))
  const made = await manage(t, ['new', 'shop', '--yes'], { cwd, env: GIT })
  t.equal(made.code, 0, made.stderr)
  return new Made(t, join(cwd, 'shop'))
}

t.test('a new service is up to date', async (t) => {
  const shop = await newService(t)
  t.match(await shop.manage('upgrade', '--check'), { code: 0, stdout: '', stderr: /up to date/ })
  t.match(await shop.manage('upgrade'), { code: 0, stdout: '' })
})

t.test('what the template has changed comes, what the team has changed stays', async (t) => {
  const shop = await newService(t)
  const today = shop.read('tsconfig.json')
  shop.wasMadeWith('tsconfig.json', (text) => text.replace('"strict": true', '"strict": false'))
  shop.wasMadeWith('bin/manage', (text) => text.replace('exec ', ''))
  shop.wasMadeBy('0.0.1')
  shop.write('tsconfig.json', (text) => text.replace('"test"]', '"test", "tools"]'))
  shop.write('src/notes/model.ts', (text) => `${text}// ours\n`)
  await shop.commit()

  const checked = await shop.manage('upgrade', '--check')
  t.match(checked, { code: 1, stdout: 'changed  bin/manage\nchanged  tsconfig.json\n' })
  const [dry] = await shop
    .manage('upgrade', '--dry-run', '--json')
    .then((told) => [JSON.parse(told.stdout)])
  t.match(dry, { from: '0.0.1', to: kit().version })
  t.match(shop.read('tsconfig.json'), '"strict": false', 'nothing is written yet')

  t.equal((await shop.manage('upgrade')).code, 0)
  t.equal(shop.read('tsconfig.json'), today.replace('"test"]', '"test", "tools"]'))
  t.match(shop.read('bin/manage'), 'exec ')
  t.match(shop.read('src/notes/model.ts'), '// ours')
  await shop.commit()
  t.match(
    await shop.manage('upgrade'),
    { code: 0, stdout: '', stderr: /up to date/ },
    'a second one',
  )
})

t.test('what a team has written follows the kit, once', async (t) => {
  const shop = await newService(t)
  const known = JSON.parse(shop.read('.plinth/template.json'))
  t.match(known.codemods, { 'lock-of-the-cache': 'app.lock is app.cache.lock' })
  // As a kit before the first codemod has written it.
  shop.write('.plinth/template.json', () => JSON.stringify({ ...known, codemods: undefined }))
  const path = 'src/notes/nightly.ts'
  const code = (lock: string) =>
    `import type { FastifyInstance } from 'fastify'\n\nexport const nightly = (app: FastifyInstance) =>\n  app.${lock}('nightly', async () => {})\n`
  writeFileSync(join(shop.folder, path), code('lock'))
  await shop.commit()
  const told = `changed  ${path}: app.lock is app.cache.lock\n`
  t.match(await shop.manage('upgrade', '--check'), { code: 1, stdout: told })
  t.match(await shop.manage('upgrade'), { code: 0, stdout: told })
  t.equal(shop.read(path), code('cache.lock'))
  t.strictSame(JSON.parse(shop.read('.plinth/template.json')), known)
  shop.write(path, () => code('lock'))
  t.match(await shop.manage('upgrade', '--check'), { code: 0, stdout: '' }, 'it is not asked again')
})

t.test('where both have changed the same lines the exit code is 1', async (t) => {
  const shop = await newService(t)
  shop.wasMadeWith('tsconfig.json', (text) => text.replace('"strict": true', '"strict": false'))
  shop.write('tsconfig.json', (text) => text.replace('"strict": false', '"strict": "ours"'))
  await shop.commit()
  const upgraded = await shop.manage('upgrade')
  t.match(upgraded, {
    code: 1,
    stdout: /^conflict tsconfig\.json: 1 place/,
    stderr: /1 file has <<<<<<</,
  })
  t.match(
    shop.read('tsconfig.json'),
    /<<<<<<< the service\n.*"ours".*\n\|{7}.*\n.*false.*\n={7}\n.*true/,
  )
})

t.test('what it refuses changes nothing', async (t) => {
  const shop = await newService(t)
  shop.wasMadeWith('tsconfig.json', (text) => text.replace('"strict": true', '"strict": false'))
  await shop.commit()
  shop.write('README.md', () => 'not committed')
  const dirty = await shop.manage('upgrade')
  t.match(dirty, { code: 1, stderr: /UNCOMMITTED.*README\.md/ })
  t.match(shop.read('tsconfig.json'), '"strict": false')
  t.equal((await shop.manage('upgrade', '--force')).code, 0)
  t.match(shop.read('tsconfig.json'), '"strict": true')

  shop.wasMadeBy('99.0.0')
  t.match(await shop.manage('upgrade'), { code: 1, stdout: '', stderr: /TEMPLATE_NEWER.*99\.0\.0/ })
  const odd = JSON.stringify({ version: '0.1.0', answers: { name: 'shop', auth: 'x' }, files: {} })
  for (const text of ['{', '{}', '[]', odd, odd.replace('{}', 'null')]) {
    shop.write('.plinth/template.json', () => text)
    t.match(await shop.manage('upgrade'), { code: 1, stdout: '', stderr: /TEMPLATE_UNKNOWN/ })
  }
  rmSync(join(shop.folder, '.plinth'), { recursive: true })
  t.match(await shop.manage('upgrade', '--check'), { code: 1, stderr: /TEMPLATE_UNKNOWN.*--adopt/ })
  for (const answers of ['database=oracle', 'colour=red'])
    t.match(await shop.manage('upgrade', '--adopt', answers), { code: 2, stdout: '' })
  t.equal((await shop.manage('upgrade', '--adopt', 'auth=none,database=sqlite')).code, 0)
  t.equal((await shop.manage('upgrade', '--check')).code, 0)
  const known = shop.read('.plinth/template.json')
  t.match(await shop.manage('upgrade', '--adopt', 'auth=jwt'), { code: 1, stderr: /FILE_EXISTS/ })
  t.equal(shop.read('.plinth/template.json'), known, 'what it knows already stays')
  t.equal((await shop.manage('upgrade', '--adopt', 'auth=jwt', '--force')).code, 0)
  t.not(shop.read('.plinth/template.json'), known)
  t.match(await shop.manage('upgrade', 'folder'), { code: 2, stdout: '' })
})

t.test('without git, or in no repository, nothing is changed', async (t) => {
  const shop = await newService(t)
  shop.wasMadeWith('tsconfig.json', (text) => text.replace('"strict": true', '"strict": false'))
  shop.write('tsconfig.json', (text) => text.replace('"test"]', '"test", "tools"]'))
  const before = shop.read('tsconfig.json')
  const options = { service: shop.folder, env: { ...GIT, PATH: '/nowhere' } }
  t.match(await manageAlone(t, ['upgrade'], options), { code: 1, stderr: /git is not installed/ })
  t.match(await manageAlone(t, ['upgrade', '--force'], options), {
    code: 1,
    stderr: /git is not installed/,
  })
  rmSync(join(shop.folder, '.git'), { recursive: true })
  t.match(await shop.manage('upgrade'), { code: 1, stderr: /UNCOMMITTED.*in no git repository/ })
  t.equal(shop.read('tsconfig.json'), before)
  t.equal((await shop.manage('upgrade', '--force')).code, 0)
  t.match(shop.read('tsconfig.json'), /"strict": true[\s\S]*"tools"/)
})

t.test('where the kit comes from is for the service to say', async (t) => {
  const shop = await newService(t)
  shop.write('package.json', (text) =>
    text.replace(/"plinth": ".*"/, '"plinth": "file:../kit.tgz"'),
  )
  t.match(await shop.manage('upgrade', '--check'), { code: 0, stderr: /up to date/ })
})

t.test('a checkout with CRLF is as it was made', async (t) => {
  const shop = await newService(t)
  for (const path of ['tsconfig.json', 'package.json', 'bin/manage'])
    shop.write(path, (text) => text.replaceAll('\n', '\r\n'))
  t.match(await shop.manage('upgrade', '--check'), { code: 0, stderr: /up to date/ })
  const [told] = JSON.parse((await shop.manage('upgrade', '--status', '--json')).stdout)
  t.match(told, { behind: false, edited: 0 })
})

t.test('--status tells of many services', async (t) => {
  const [one, other] = [await newService(t), await newService(t)]
  other.wasMadeBy('0.0.1')
  other.write('tsconfig.json', (text) => `${text}\n`)
  rmSync(join(one.folder, '.plinth'), { recursive: true })
  const folders = [one.folder, other.folder]
  const told = await one.manage('upgrade', '--status', '--json', ...folders)
  t.equal(told.code, 1, 'one cannot be told')
  t.match(JSON.parse(told.stdout), [
    { version: null, behind: null, problem: /cannot be read/ },
    { version: '0.0.1', behind: true, edited: 1 },
  ])
  const printed = await one.manage('upgrade', '--status', other.folder)
  t.match(printed, { code: 0, stdout: /0\.0\.1 {2}behind {2}1 edited\n$/ })
})

t.test('--status looks into repositories elsewhere, and leaves no copy', async (t) => {
  const shop = await newService(t)
  shop.write('tsconfig.json', (text) => `${text}\n`)
  await shop.commit()
  const before = new Set(readdirSync(tmpdir()))
  const [url, none] = [`file://${shop.folder}`, 'file://ann:secret@/nowhere/shop.git']
  const told = await shop.manage('upgrade', '--status', '--json', url, none)
  t.match(JSON.parse(told.stdout), [
    { folder: url, version: kit().version, behind: false, edited: 1 },
    { version: null, problem: /^git clone says: / },
  ])
  t.notMatch(told.stdout + told.stderr, /secret/)
  const left = readdirSync(tmpdir()).filter((name) => !before.has(name))
  t.strictSame(
    left.filter((name) => name.startsWith('plinth-status-')),
    [],
  )
})
