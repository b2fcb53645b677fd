import { join } from 'node:path'
import t from 'tap'
import { importDefault, importModule } from '../../src/process/load.ts'

t.test('it imports TypeScript from any path', async (t) => {
  const folder = t.testdir({ 'a #1%.ts': 'export const a: number = 1; export default { b: 2 }' })
  const file = join(folder, 'a #1%.ts')
  t.match(await importModule(file), { a: 1, default: { b: 2 } })
  t.strictSame(await importDefault(file, 'an object', 'object'), { b: 2 })
})

t.test('what cannot be loaded is told with file and line', async (t) => {
  const texts = {
    syntax: 'const a = 1\n\nconst = 2',
    typescript: 'const a = 1\nenum B { C }',
    javascript: 'const a = 1\nreturn await',
    missing: '\nimport { a } from "./nothing.ts"',
    export: 'const x = 1\nimport { nothing } from "./works.ts"',
    throws: '\n\nthrow new TypeError("no")',
    text: 'throw "a text"',
    deep: 'import "./throws.ts"',
  }
  const files = Object.entries(texts).map(([name, text]) => [`${name}.ts`, text])
  const folder = t.testdir({ ...Object.fromEntries(files), 'works.ts': 'export {}' })
  const at = (name: string) => join(folder, `${name}.ts`)
  const expected: Record<keyof typeof texts, RegExp> = {
    syntax: /^SyntaxError: .+ \(\S+syntax\.ts:3\)$/,
    typescript:
      /^SyntaxError: TypeScript enum is not supported in strip-only mode \(\S+typescript\.ts:2\)$/,
    javascript: /^SyntaxError: .+ \(\S+javascript\.ts:2\)$/,
    missing: /^Error: Cannot find module '\S+nothing\.ts' imported from \S+missing\.ts$/,
    export: /^SyntaxError: .+works\.ts.+ 'nothing' \(\S+export\.ts:2\)$/,
    throws: /^TypeError: no at \S+throws\.ts:3:7$/,
    text: /^a text$/,
    deep: /^TypeError: no at \S+throws\.ts:3:7$/,
  }
  for (const [name, problem] of Object.entries(expected)) {
    const error = await importModule(at(name)).catch((error: Error) => error)
    t.match(error, { code: 'SERVICE_BROKEN' })
    t.ok((error as Error).cause, 'the first error is kept')
    const [file, told] = (error as Error).message.split(' cannot be loaded: ')
    t.equal(file, at(name))
    t.match(told, problem)
  }
})

t.test('a default export of another kind is refused', async (t) => {
  const folder = t.testdir({
    'none.ts': 'export const a = 1',
    'function.ts': 'export default () => {}',
  })
  await t.rejects(importDefault(join(folder, 'none.ts'), 'a service', 'object'), {
    code: 'SERVICE_BROKEN',
    message: `${join(folder, 'none.ts')} cannot be loaded: its default export is undefined; expected a service`,
  })
  await t.rejects(importDefault(join(folder, 'function.ts'), 'a service', 'object'), {
    message: /its default export is function; expected a service$/,
  })
})
