import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { findings } from '../src/findings.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')

t.test('docs/checks.md describes each code, and no other', async (t) => {
  const sections = read('docs/checks.md').split(/^### /m).slice(1)
  t.strictSame(
    sections.map((section) => section.split('\n', 1)[0]),
    Object.entries(findings).map(([code, { level }]) => `${code} (${level})`),
    'in the order of the table, with its levels',
  )
  for (const section of sections) {
    const [title, ...lines] = section.split(/^## /m, 1)[0]?.split('\n') ?? []
    t.ok(lines.join('').length > 30, `${title} is described`)
  }
})

t.test('each code is found by something and in a test, and has a remedy', async (t) => {
  const textOf = (files: string) => globSync(files, { cwd: root }).map(read).join('\n')
  const sources = textOf('{plugins/*,src/*/**/*}.ts')
  const tests = textOf('test/**/*.test.ts')
  for (const [code, { remedy }] of Object.entries(findings)) {
    t.match(remedy, /^[A-Z].{10,}[.]$/s)
    const isFound = sources.includes(`'${code}'`) || /^(docs|contract|queues)-open$/.test(code)
    t.ok(isFound, code)
    t.match(tests, new RegExp(`\\b${code}\\b`), `a test makes what ${code} is about`)
  }
})
