import { globSync } from 'node:fs'
import { basename, join } from 'node:path'
import { readIfThere } from '../files.ts'
import { renameMember } from './edit-source.ts'

/** A change of the kit that the code of services has to follow, and what follows it. */
export interface Codemod {
  /** By it a service remembers that its code has followed: it never changes. */
  readonly name: string
  /** What has changed, for whoever looks at the files. */
  readonly summary: string
  /** Writes code anew as the kit has it now. @returns the same text where there is nothing of it */
  readonly change: (source: string) => string
}

/** In the order in which the kit has changed. */
export const CODEMODS: readonly Codemod[] = [
  {
    name: 'lock-of-the-cache',
    summary: 'app.lock is app.cache.lock',
    change: (source) => renameMember(source, 'app', 'lock', 'cache.lock'),
  },
]

const SOURCE = /\.[cm]?[jt]s$/

/** What a file is once its code has followed; other files are what they are. */
export function follow(path: string, text: string, codemods: readonly Codemod[]): string {
  return SOURCE.test(path) ? codemods.reduce((source, { change }) => change(source), text) : text
}

/** A file of a service whose code has followed. */
export interface Followed {
  readonly path: string
  readonly text: string
  /** What has changed it. */
  readonly note: string
}

/** All code of a service that has something to follow, whoever has written it. Writes nothing. */
export function followAll(root: string, codemods: readonly Codemod[]): Followed[] {
  if (codemods.length === 0) return []
  return globSync('**/*.{ts,mts,cts,js,mjs,cjs}', { cwd: root, exclude: isForeign }).flatMap(
    (path) => {
      let text = readIfThere(join(root, path)) ?? ''
      const changed = codemods.filter(({ change }) => {
        const before = text
        text = change(before)
        return text !== before
      })
      const note = changed.map(({ summary }) => summary).join('; ')
      return changed.length > 0 ? [{ path, text, note }] : []
    },
  )
}

/** Packages, and what tools make. */
const isForeign = (path: string) => /^(?:node_modules|dist|coverage|\..+)$/.test(basename(path))
