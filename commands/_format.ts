import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

/** What projects format with: how it is known that one does, and how it is given a text. */
const FORMATTERS = [
  {
    name: 'biome',
    files: ['biome.json', 'biome.jsonc'],
    args: (path: string) => ['format', `--stdin-file-path=${path}`],
  },
  {
    name: 'prettier',
    files: [
      ...['', '.json', '.yaml', '.yml', '.js', '.mjs', '.ts'].map((end) => `.prettierrc${end}`),
      ...['js', 'mjs', 'ts'].map((end) => `prettier.config.${end}`),
    ],
    args: (path: string) => ['--stdin-filepath', path],
  },
] as const

/**
 * A text as the formatter of its project writes it (Biome or Prettier, where its settings are); as it is where there is none, or that fails. A
 * migration that is formatted later would be another file.
 *
 * @param path where it is to be
 */
export function formatted(path: string, text: string): string {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const formatter = FORMATTERS.find(
      ({ name, files }) =>
        files.some((file) => existsSync(join(folder, file))) && existsSync(binOf(folder, name)),
    )
    if (formatter) return run(folder, formatter, path, text)
    if (folder === dirname(folder)) return text
  }
}

const binOf = (folder: string, name: string) => join(folder, 'node_modules/.bin', name)

function run(
  folder: string,
  { name, args }: (typeof FORMATTERS)[number],
  path: string,
  text: string,
): string {
  const { PATH = '' } = process.env
  const { status, stdout } = spawnSync(binOf(folder, name), args(path), {
    cwd: folder,
    // Its script looks for a Node.js.
    env: { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${PATH}` },
    input: text,
    encoding: 'utf8',
    timeout: 10_000,
    shell: process.platform === 'win32',
  })
  return status === 0 && stdout.trim() !== '' ? stdout : text
}
