import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readIfThere } from '../files.ts'
import { CODEMODS, type Codemod, follow, followAll } from './codemods.ts'
import { mergeManifests } from './merge-manifests.ts'
import type { Remembered } from './remembered.ts'
import type { TemplateFile } from './template-files.ts'

/** What an upgrade does with one file of the template. */
export interface Change {
  readonly path: string
  readonly state: 'created' | 'changed' | 'conflict' | 'deleted' | 'left'
  /** What it is then; undefined: it is deleted, or left as it is. */
  readonly text?: string
  readonly executable?: boolean
  /** Why it is left, or what is to be looked at. */
  readonly note?: string
}

/** Written once, for the team to go on with: code of its own from then on. */
const ONCE =
  /^(?:src\/(?!service\.ts$)|migrations\/|seeds\/|commands\/|plugins\/|test\/(?!helper\.ts$)|README\.md$|\.env)/

/** Where files of the template have gone: the path that they had, and the one that they have. */
export type Renames = Readonly<Record<string, string>>
const RENAMES: Renames = {}

/**
 * What has to change for a service to be as if it had been made from the template of today, and changed by its team since
 * then; and its code, for it to be as the kit of today wants it. Writes nothing.
 *
 * @param theirs what the template writes today for the answers of the service
 */
export function planUpgrade(
  root: string,
  remembered: Remembered,
  theirs: readonly TemplateFile[],
  { renames = RENAMES, codemods = CODEMODS }: UpgradeRules = {},
): Change[] {
  const due = codemods.filter(({ name }) => !Object.hasOwn(remembered.codemods, name))
  const planned = planMerge(root, remembered, theirs, renames, due)
  const merged = new Set(
    planned.filter(({ state }) => state !== 'left').map((change) => change.path),
  )
  const others = followAll(root, due).filter(({ path }) => !merged.has(path))
  return [...planned, ...others.map((one): Change => ({ ...one, state: 'changed' }))]
}

/** What the kit has done since a service was made. */
export interface UpgradeRules {
  renames?: Renames
  codemods?: readonly Codemod[]
}

/** What was written and what is there are compared as they are once their code has followed the kit: what the template writes today has. */
function planMerge(
  root: string,
  remembered: Remembered,
  theirs: readonly TemplateFile[],
  renames: Renames,
  due: readonly Codemod[],
): Change[] {
  const base = new Map(
    Object.entries(remembered.files).map(([path, text]) => [path, follow(path, text, due)]),
  )
  const ours = (path: string) => {
    const text = readIfThere(join(root, path))
    return text === undefined ? undefined : follow(path, text, due)
  }
  const origin = Object.fromEntries(Object.entries(renames).map(([from, to]) => [to, from]))
  const changes = theirs.flatMap((file): Change[] => {
    const from = base.has(file.path) ? file.path : (origin[file.path] ?? file.path)
    const before = base.get(from)
    base.delete(from)
    const moved = from === file.path ? [] : moveOf(from, file, ours)
    return [...moved, ...changeOf(file, before, ours(file.path) ?? ours(from))]
  })
  for (const [path, text] of base) changes.push(...goneOf(path, text, ours(path)))
  return changes
}

function moveOf(
  from: string,
  { path }: TemplateFile,
  ours: (path: string) => string | undefined,
): Change[] {
  const isThere = ours(from) !== undefined && ours(path) === undefined
  return isThere ? [{ path: from, state: 'deleted', note: `it is ${path} now` }] : []
}

function changeOf(
  { path, text, executable }: TemplateFile,
  before: string | undefined,
  ours: string | undefined,
): Change[] {
  if (before === text || ours === text) return []
  if (before !== undefined && ONCE.test(path)) return []
  if (before !== undefined && ours === undefined)
    return [{ path, state: 'left', note: 'the team has deleted it; the template has changed' }]
  if (ours === undefined) return [{ path, state: 'created', text, executable }]
  if (ours === before) return [{ path, state: 'changed', text, executable }]
  if (path === 'package.json') {
    const { merged, notes } = mergeManifests(ours, before ?? '{}', text)
    const note = notes.length > 0 ? { note: notes.join('; ') } : {}
    return merged === ours ? [] : [{ path, state: 'changed', text: merged, executable, ...note }]
  }
  if (before === undefined)
    return [{ path, state: 'left', note: 'the template has one now, and so has the team' }]
  const { merged, conflicts } = merge(ours, before, text)
  if (merged === ours) return []
  const state = conflicts > 0 ? 'conflict' : 'changed'
  const places = conflicts === 1 ? '1 place' : `${conflicts} places`
  const note = conflicts > 0 ? { note: `${places} where both have changed it` } : {}
  return [{ path, state, text: merged, executable, ...note }]
}

function goneOf(path: string, before: string, ours: string | undefined): Change[] {
  if (ours === undefined || ONCE.test(path)) return []
  return isSame(ours, before)
    ? [{ path, state: 'deleted' }]
    : [{ path, state: 'left', note: 'the template has it no more; the team has changed it' }]
}

/** Whether two texts are the same, whatever their lines end with: git may have made CRLF of it. */
export function isSame(text: string, other: string): boolean {
  return text.replaceAll('\r\n', '\n') === other.replaceAll('\r\n', '\n')
}

/**
 * Merges as git does, with `<<<<<<<` where both have changed the same lines. Lines end as ours do.
 *
 * @throws {Error} where there is no git
 */
function merge(ours: string, base: string, theirs: string): { merged: string; conflicts: number } {
  const folder = mkdtempSync(join(tmpdir(), 'plinth-merge-'))
  try {
    const isWindows = ours.includes('\r\n')
    const paths = Object.entries({ ours, base, theirs }).map(([name, text]) => {
      const path = join(folder, name)
      writeFileSync(path, text.replaceAll('\r\n', '\n'))
      return path
    })
    const labels = ['-L', 'the service', '-L', 'the template before', '-L', 'the template now']
    const args = ['merge-file', '-p', '--diff3', ...labels, ...paths]
    const { error, status, stdout, stderr } = spawnSync('git', args, { encoding: 'utf8' })
    if (error)
      throw new Error('git is not installed, and merges what the team has changed', {
        cause: error,
      })
    if (status === null || status > 127) throw new Error(`git merge-file says: ${stderr.trim()}`)
    return { merged: isWindows ? stdout.replaceAll('\n', '\r\n') : stdout, conflicts: status }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
