import { join } from 'node:path'
import { errors } from '../errors.ts'
import { readIfThere } from '../files.ts'
import { writeAppDesc, writeProcfile } from './blueking.ts'
import { writeCompose, writeDocker } from './container.ts'
import { writeKubernetes } from './kubernetes.ts'
import type { DeployFile, Plan } from './plan.ts'
import { writeSystemd } from './systemd.ts'

/** What `manage deploy` writes, by target. */
const writers = {
  procfile: writeProcfile,
  blueking: writeAppDesc,
  docker: writeDocker,
  compose: writeCompose,
  kubernetes: writeKubernetes,
  systemd: writeSystemd,
} satisfies Record<string, (plan: Plan) => DeployFile[] | Promise<DeployFile[]>>

export type Target = keyof typeof writers

/** The files of a target, none of which is written yet. @throws {PlinthError} DEPLOY_REFUSED, PACKAGE_MISSING */
export async function filesOf(target: Target, plan: Plan): Promise<DeployFile[]> {
  return await writers[target](plan)
}

/** A file, and what would become of it. */
export interface ComparedFile extends DeployFile {
  readonly state: 'new' | 'changed' | 'same'
}

/** @param root the folder that the paths of `files` begin in */
export function compareFiles(files: readonly DeployFile[], root: string): ComparedFile[] {
  return files.map((file) => {
    const found = readLines(join(root, file.path))
    return {
      ...file,
      state: found === undefined ? 'new' : found === file.text ? 'same' : 'changed',
    }
  })
}

/**
 * Refuses to replace a file that says something else: it may be somebody's work.
 *
 * @throws {PlinthError} FILE_EXISTS with the line where each begins to differ
 */
export function assertUnchanged(
  files: readonly ComparedFile[],
  root: string,
  target: Target,
): void {
  const other = files.filter(({ state }) => state === 'changed')
  if (other.length === 0) return
  const places = other.map(
    ({ path, text }) => `${path} (line ${lineOf(text, readLines(join(root, path)))})`,
  )
  throw errors.FILE_EXISTS(
    places.join(', '),
    `it says something else from that line on: compare it with manage deploy ${target} --dry-run, and add --force to replace it`,
  )
}

/** Lines end with LF here, whatever an editor has made of them. */
function readLines(path: string): string | undefined {
  return readIfThere(path)?.replaceAll('\r\n', '\n')
}

/** The first line that differs, from 1 on. */
function lineOf(text: string, found = ''): number {
  const lines = found.split('\n')
  return text.split('\n').findIndex((line, at) => line !== lines[at]) + 1 || lines.length
}
