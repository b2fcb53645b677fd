import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { renderExample, renderTable } from '../../src/config/example.ts'
import { kitOwners } from '../../src/kit.ts'

// `npm test -- --snapshot test/config/documents.test.ts` writes both anew.
const rewrite = process.env.TAP_SNAPSHOT === '1'
const EXAMPLE = new URL('../../.env.example', import.meta.url)
const DOCUMENT = new URL('../../docs/configuration.md', import.meta.url)
const TABLE = /(?<=<!-- variables: .* -->\n\n)[^<]*(?=<!-- \/variables -->)/

t.test('.env.example says what the schema says', async (t) => {
  const wanted = renderExample(kitOwners)
  if (rewrite) writeFileSync(EXAMPLE, wanted)
  t.equal(readFileSync(EXAMPLE, 'utf8'), wanted)
})

t.test('the table of docs/configuration.md says what the schema says', async (t) => {
  const wanted = `${renderTable(kitOwners)}\n`
  const text = readFileSync(DOCUMENT, 'utf8')
  if (rewrite)
    writeFileSync(
      DOCUMENT,
      text.replace(TABLE, () => wanted),
    )
  t.equal(TABLE.exec(readFileSync(DOCUMENT, 'utf8'))?.[0], wanted)
})
