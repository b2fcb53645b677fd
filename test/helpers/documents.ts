import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const BLOCK = /^```ts\n(?:\/\/ (\S+\.ts)\n)?([\s\S]*?)^```$/gm

/**
 * Every document that has TypeScript in it, as a path in the repository. Those in Chinese have that of the English ones
 * (test/guides.test.ts compares); the tutorial is a service of its own (test/tutorial.test.ts makes it and checks its types).
 */
export const documents = globSync(['README.md', 'docs/**/*.md', 'examples/*/README.md'], {
  cwd: root,
  exclude: ['docs/zh/**', 'docs/tutorial.md'],
}).filter((path) => Object.keys(examplesOf(path)).length > 0)

/** The TypeScript of a document, by the path that its first line names: of two with one path the first would be looked at by nobody. */
function examplesOf(document: string): Record<string, string> {
  const text = readFileSync(join(root, document), 'utf8')
  const blocks = Array.from(text.matchAll(BLOCK), ([, path, code = ''], index) => [
    path ?? `example-${index}.ts`,
    code,
  ])
  const examples = Object.fromEntries(blocks)
  if (Object.keys(examples).length < blocks.length)
    throw new Error(`${document} has two examples of one path: ${blocks.map(([path]) => path)}`)
  return examples
}

/** Writes the examples of each document into a folder of its own, `folder/docs/cache.md/src/service.ts`. */
export function writeExamples(folder: string): void {
  for (const document of documents) {
    for (const [path, code] of Object.entries(examplesOf(document))) {
      const file = join(folder, document, path)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, code)
    }
  }
}
