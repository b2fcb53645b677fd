import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { errors } from '../../errors.ts'
import { readIfThere } from '../../files.ts'

/** One file of a client. */
export interface ClientFile {
  readonly name: string
  readonly text: string
  /** Whether it is the service's own once it is there. */
  readonly once: boolean
}

const PLACE = '%DIGEST%'

/** `text` with a digest of itself in the place that is left for it: whether it was changed is seen. */
export function sealed(text: string): string {
  return text.replace(PLACE, () => createHash('sha256').update(text).digest('hex'))
}

/** Whether it is as it was written, but for the ends of its lines. */
function isUnchanged(text: string): boolean {
  const plain = text.replaceAll('\r\n', '\n')
  const open = plain.replace(/(?<=sha256 )[0-9a-f]{64}/, () => PLACE)
  return open !== plain && sealed(open) === plain
}

/** What becomes of a file: it is new, is replaced, is the same already, or is kept since it is the service's own. */
export type FileState = 'new' | 'changed' | 'same' | 'kept'

/** A file and where it goes. */
export interface PlacedFile {
  readonly path: string
  readonly text: string
  readonly state: FileState
}

/**
 * What becomes of each file in `folder`.
 *
 * @param force replaces those that somebody has changed, but those that are the service's own
 * @throws {PlinthError} FILE_EXISTS where there are such
 */
export function placeFiles(
  files: readonly ClientFile[],
  folder: string,
  force: boolean,
): PlacedFile[] {
  const placed = files.map(({ name, text, once }) => {
    const path = join(folder, name)
    const found = readIfThere(path)
    const foreign = found !== undefined && !once && !isUnchanged(found)
    return { path, text, state: stateOf(found, text, once), foreign }
  })
  const taken = placed.filter(({ foreign, state }) => foreign && state !== 'same')
  if (taken.length > 0 && !force)
    throw errors.FILE_EXISTS(
      taken.map(({ path }) => path).join(', '),
      'it was changed by hand, or not written by manage client: move what is yours to api.ts and add --force',
    )
  return placed.map(({ path, text, state }) => ({ path, text, state }))
}

function stateOf(found: string | undefined, text: string, once: boolean): FileState {
  if (found === undefined) return 'new'
  if (once) return 'kept'
  return found.replaceAll('\r\n', '\n') === text ? 'same' : 'changed'
}
