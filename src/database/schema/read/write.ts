import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { errors } from '../../../errors.ts'

/**
 * Writes files with their folders: all of them, or none where one is there already.
 *
 * @param force replaces those that are there
 * @throws {PlinthError} FILE_EXISTS, FILE_UNWRITABLE
 */
export function writeFiles(files: readonly { path: string; text: string }[], force: boolean): void {
  const taken = files.map(({ path }) => path).filter((path) => existsSync(path))
  if (taken.length > 0 && !force)
    throw errors.FILE_EXISTS(taken.join(', '), 'add --force to replace it')
  for (const { path, text } of files) {
    try {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, text)
    } catch (cause) {
      throw errors.FILE_UNWRITABLE.with({ cause }, path, (cause as Error).message)
    }
  }
}
