import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { readIfThere } from '../files.ts'
import { clone, isRemote, withoutSecret } from './git.ts'
import { planUpgradeOf } from './plan-upgrade.ts'
import { isSame } from './upgrade.ts'

/** How far a service is from the template of this kit. */
export interface Drift {
  /** Or the URL of its repository. */
  readonly folder: string
  /** Null: it cannot be told. */
  readonly version: string | null
  readonly behind: boolean | null
  /** How many files of the template the team has changed. */
  readonly edited: number
  readonly problem?: string
}

/** Tells of the service in a folder, or in a repository, which is cloned for that. Nothing of the service runs. */
export async function driftOf(place: string): Promise<Drift> {
  if (!isRemote(place)) return await read(resolve(place), relative(process.cwd(), place) || '.')
  const folder = mkdtempSync(join(tmpdir(), 'plinth-status-'))
  try {
    const shown = withoutSecret(place)
    const problem = clone(place, folder)
    return problem ? unknown(shown, problem) : await read(folder, shown)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

async function read(root: string, shown: string): Promise<Drift> {
  try {
    const { remembered, isBehind } = await planUpgradeOf(root)
    const edited = Object.entries(remembered.files).filter(([path, text]) => {
      const found = readIfThere(join(root, path))
      return found === undefined || !isSame(found, text)
    })
    const { version } = remembered
    return { folder: shown, version, behind: isBehind, edited: edited.length }
  } catch (error) {
    return unknown(shown, (error as Error).message.replaceAll(root, shown))
  }
}

function unknown(folder: string, problem: string): Drift {
  return { folder, version: null, behind: null, edited: 0, problem }
}
