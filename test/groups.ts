import { globSync } from 'node:fs'

/** How many files one process runs at most. */
const SIZE = 10
/** They take the longest for their size: begun last, they would be waited for. */
const FIRST = [
  'test/prove.test.ts',
  'test/consumer.test.ts',
  'test/commands/new.test.ts',
  'test/package.test.ts',
  'test/bin',
  'test/servers',
  'test/docs.test.ts',
  'test/tutorial.test.ts',
  'test/guides.test.ts',
  'test/http/overload.test.ts',
  'test/task/killed.test.ts',
  'test/commands/upgrade-versions.test.ts',
]

/**
 * Every test file of the working folder, in groups that run in one process each: the files of a folder and of those in
 * it. What is in `test` itself, or takes long, runs alone.
 */
export function groups(): string[][] {
  const files = globSync(['test/**/*.test.ts', 'examples/*/test/**/*.test.ts']).sort()
  const together = Object.values(Object.groupBy(files, groupOf)) as string[][]
  const all = together.flatMap(parts)
  return all.sort((a, b) => rank(a) - rank(b) || b.length - a.length)
}

function rank([file = '']: readonly string[]): number {
  const index = FIRST.indexOf(groupOf(file))
  return index < 0 ? FIRST.length : index
}

/** What a file's group is called: `test/database` for `test/database/inspect/mysql.test.ts`. */
export const groupOf = (file: string): string =>
  FIRST.includes(file) ? file : file.split('/').slice(0, 2).join('/')

function parts(files: readonly string[]): string[][] {
  const count = Math.ceil(files.length / SIZE)
  return Array.from({ length: count }, (_, part) => files.filter((_, i) => i % count === part))
}
