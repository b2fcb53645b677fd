import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { errors } from './errors.ts'

export interface NewFile {
  readonly path: string
  readonly text: string
  /** Default: it is not. */
  readonly executable?: boolean
}

/** The text of a file, `undefined` where there is none. */
export function readIfThere(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}

/**
 * Writes files with their folders: all of them, or none where one is there already.
 *
 * @param force replaces those that are there
 * @throws {PlinthError} FILE_EXISTS, FILE_UNWRITABLE
 */
export function writeFiles(files: readonly NewFile[], force: boolean): void {
  const taken = files.map(({ path }) => path).filter((path) => existsSync(path))
  if (taken.length > 0 && !force)
    throw errors.FILE_EXISTS(taken.join(', '), 'add --force to replace it')
  for (const { path, text, executable } of files)
    change(path, () => {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, text, { mode: executable ? 0o755 : 0o644 })
    })
}

/** @throws {PlinthError} FILE_UNWRITABLE */
export function removeFiles(paths: readonly string[]): void {
  for (const path of paths) change(path, () => rmSync(path))
}

function change(path: string, work: () => void): void {
  try {
    work()
  } catch (cause) {
    throw errors.FILE_UNWRITABLE.with({ cause }, path, (cause as Error).message)
  }
}
