import { readFileSync } from 'node:fs'
import t from 'tap'
import { kit } from '../../src/process/kit.ts'

t.test("it is the kit's own package.json", async (t) => {
  const file = new URL('../../package.json', import.meta.url)
  t.strictSame(kit(), JSON.parse(readFileSync(file, 'utf8')))
})
