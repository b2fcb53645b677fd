import t from 'tap'
import { Databases } from '../prove/databases.ts'
import { linkKit } from '../prove/migrations.ts'
import { proofs } from '../prove/table.ts'

// Every proof in its short form: that it runs, and that it holds for one seed.
t.setTimeout(180_000)

for (const [name, load] of Object.entries(proofs)) {
  t.test(name, async (t) => {
    const { proof } = await load()
    for (const driver of proof.drivers) {
      const folder = t.testdir()
      linkKit(folder)
      const databases = new Databases(driver, folder)
      t.teardown(() => databases.drop())
      let done = 0
      const size = proof.size.short
      const figures = await proof.prove({
        driver,
        seed: 1,
        size,
        folder,
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
