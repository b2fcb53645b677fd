import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { Databases } from '../prove/databases.ts'
import { linkKit } from '../prove/migrations.ts'
import { proofs } from '../prove/table.ts'

// Every proof that has a short form, in that: that it runs, and that it holds for one seed.

for (const [name, load] of Object.entries(proofs)) {
  const { proof } = await load()
  const size = proof.size.short
  if (proof.needs || size === undefined) continue
  t.test(name, async (t) => {
    for (const driver of proof.drivers) {
      const folder = t.testdir()
      linkKit(folder)
      const databases = new Databases(driver, folder)
      t.teardown(() => databases.drop())
      let done = 0
      const figures = await proof.prove({
        driver,
        seed: 1,
        size,
        folder,
        // Beside other tests a process may have no turn for as long as one that has too much to do.
        env: { LOAD_SHEDDING: 'false' },
        createDatabase: () => databases.create(),
        teardown: (work) => t.teardown(work),
        tell: (count) => {
          done = count
        },
      })
      t.equal(done, size, `${driver}: ${JSON.stringify(figures)}`)
    }
  })
}

t.test('what cannot be proved is told, and is no success', async (t) => {
  const proveIn = (env: NodeJS.ProcessEnv, ...args: string[]) => {
    const script = join(import.meta.dirname, '../prove/run.ts')
    const node = ['--conditions=plinth-source', script, ...args]
    const { status, stdout, stderr } = spawnSync(process.execPath, node, { encoding: 'utf8', env })
    return { status, stdout, stderr: stderr.split('\n', 1)[0] }
  }
  const prove = (...args: string[]) => proveIn(process.env, ...args)
  t.match(prove('--help'), { status: 0, stdout: /^npm run prove -- NAME/ })
  t.match(prove('nope'), { status: 2, stderr: 'nope is no proof' })
  t.match(prove('schedule', '--driver', 'mysql'), {
    status: 2,
    stderr: /not about mysql, but redis/,
  })
  t.match(proveIn({ ...process.env, PATH: '/nowhere' }, 'image'), {
    status: 1,
    stderr: /image needs the program buildah, which/,
  })
  t.match(prove('schedule', '--size', '0'), { status: 2, stderr: /--size is 0; expected/ })
  t.match(prove('schedule', '--sise', '1'), { status: 2, stderr: /Unknown option '--sise'/ })
})
