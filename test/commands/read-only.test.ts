import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { MANAGE, manage, manageAlone } from '../helpers/manage.ts'
import { run } from '../helpers/pack.ts'
import { writeService } from '../helpers/service.ts'

/** Root writes wherever it wants, unless it gives that up (util-linux). */
const OBEDIENT =
  process.getuid?.() === 0
    ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--inh-caps=-all']
    : []

/** Runs a command in a folder that nothing can be written in, and returns what it says; asserts that the folder is as it was. */
async function runReadOnly(t: Test, folder: string, args: readonly string[]) {
  const everything = () =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => [name, readFileSync(join(parentPath, name), 'utf8')])
  const before = everything()
  const options = { cwd: folder, service: folder, program: [...OBEDIENT, process.execPath, MANAGE] }
  await run('chmod', ['-R', 'a-w', folder])
  try {
    return await manageAlone(t, args, options)
  } finally {
    await run('chmod', ['-R', 'u+w', folder])
    t.strictSame(everything(), before)
  }
}

const refused = (path: RegExp) => ({
  code: 1,
  signal: null,
  stdout: '',
  stderr: new RegExp(`^error FILE_UNWRITABLE: .*${path.source}.*EACCES`),
})

function emptyFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'plinth-read-only-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

t.test('manage new says that it cannot write there', async (t) => {
  const folder = emptyFolder(t)
  const ended = await runReadOnly(t, folder, ['new', 'billing', '--yes', '--no-git'])
  t.match(ended, refused(/billing/))
})

t.test('manage make says that it cannot write there', async (t) => {
  const service = `import { defineService } from 'plinth'\n\nexport default defineService({ name: 'shop', modules: {} })\n`
  const folder = writeService(t, { 'src/service.ts': service })
  t.match(await runReadOnly(t, folder, ['make', 'module', 'orders']), refused(/orders/))
})

for (const change of ['written', 'deleted'] as const) {
  t.test(
    `manage upgrade says that it cannot write there, where a file is to be ${change}`,
    async (t) => {
      const folder = join(emptyFolder(t), 'billing')
      const made = await manage(t, ['new', 'billing', '--yes', '--no-git'], {
        cwd: join(folder, '..'),
      })
      t.equal(made.code, 0, made.stderr)
      // As if the template had had other files then.
      const path = join(folder, '.plinth/template.json')
      const remembered = JSON.parse(readFileSync(path, 'utf8'))
      const old = change === 'written' ? 'tsconfig.json' : 'old.json'
      remembered.files[old] = '{}\n'
      writeFileSync(path, JSON.stringify(remembered))
      writeFileSync(join(folder, old), '{}\n')
      const ended = await runReadOnly(t, folder, ['upgrade', '--force'])
      t.match(ended, { ...refused(new RegExp(old)), stdout: String })
    },
  )
}
