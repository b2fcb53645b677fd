import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { errors } from '../errors.ts'
import { type Answers, settle } from './answers.ts'
import { CODEMODS } from './codemods.ts'
import type { TemplateFile } from './template-files.ts'

/** Where a service keeps what it was made from. */
export const REMEMBERED = '.plinth/template.json'

/** What a service was made from, and last upgraded to. */
export interface Remembered {
  /** Of the kit whose template it was. */
  readonly version: string
  readonly answers: Answers
  /** The changes of the kit that its code has followed, by name: what each was. */
  readonly codemods: Readonly<Record<string, string>>
  /** What the template wrote, by path: what is changed since then is the team's. */
  readonly files: Readonly<Record<string, string>>
}

export function remember(
  version: string,
  answers: Answers,
  files: readonly TemplateFile[],
): TemplateFile {
  const known = Object.fromEntries(files.map(({ path, text }) => [path, text]))
  const codemods = Object.fromEntries(CODEMODS.map(({ name, summary }) => [name, summary]))
  const remembered: Remembered = { version, answers, codemods, files: known }
  const text = `${JSON.stringify(remembered, null, 2)}\n`
  return { path: REMEMBERED, text, executable: false }
}

/** @throws {PlinthError} TEMPLATE_UNKNOWN */
export function readRemembered(root: string): Remembered {
  let read: Partial<Remembered>
  try {
    read = JSON.parse(readFileSync(join(root, REMEMBERED), 'utf8'))
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    throw errors.TEMPLATE_UNKNOWN.with(
      { cause },
      root,
      code === 'ENOENT' ? 'it is not there' : message,
    )
  }
  const { version, answers, codemods = {}, files } = read
  if (typeof version !== 'string' || typeof answers?.name !== 'string' || !files)
    throw errors.TEMPLATE_UNKNOWN(root, 'it has no version, answers and files')
  // An older kit has not asked all of them.
  const settled = settle(answers.name, answers)
  if (typeof settled === 'string') throw errors.TEMPLATE_UNKNOWN(root, settled)
  return { version, answers: settled, codemods, files }
}

/** Whether a service knows what it was made from. */
export function isRemembered(root: string): boolean {
  try {
    return Boolean(readRemembered(root))
  } catch {
    return false
  }
}
