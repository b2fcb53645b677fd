import { createHash } from 'node:crypto'
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import module from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The places that something follows from, each with what tells whether it has changed. */
type Stamps = Readonly<Record<string, string>>

/**
 * What `find` has found out, which takes long, once: it is kept beside what Node.js has compiled, for as long as no file that
 * was loaded for it, and none of `places`, changes. Without such a folder it is found out each time.
 *
 * @param key tells it from what is kept otherwise
 * @param find whether it is `whole`, else it is not kept
 */
export async function findOnce<T>(
  key: string,
  find: () => Promise<{ found: T; places: readonly string[]; whole: boolean }>,
): Promise<T> {
  const folder = module.getCompileCacheDir?.()
  const name = `plinth-${createHash('sha256').update(key).digest('hex').slice(0, 32)}.json`
  const file = folder && join(folder, name)
  const kept = file && read<T>(file)
  if (kept) return kept.found
  const loaded = new Set<string>()
  const hooks = module.registerHooks({
    load(url, context, next) {
      if (url.startsWith('file:')) loaded.add(placeOf(fileURLToPath(url)))
      return next(url, context)
    },
  })
  const { found, places, whole } = await find().finally(() => hooks.deregister())
  if (file && whole) {
    const stamps = Object.fromEntries([...loaded, ...places].map((path) => [path, stampOf(path)]))
    write(file, { found, stamps })
  }
  return found
}

/** A file of a package changes with the package. */
function placeOf(path: string): string {
  const [, root] = /^(.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/.exec(path) ?? []
  return root ? join(root, 'package.json') : path
}

/** Not the time of its content alone, which whoever unpacks an archive may set. */
function stampOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat ? `${stat.ctimeMs} ${stat.size}` : 'none'
}

interface Kept<T> {
  found: T
  stamps: Stamps
}

function read<T>(file: string): Kept<T> | undefined {
  try {
    const kept: Kept<T> = JSON.parse(readFileSync(file, 'utf8'))
    const isSame = ([path, stamp]: [string, string]) => stampOf(path) === stamp
    return Object.entries(kept.stamps).every(isSame) ? kept : undefined
  } catch {
    // It is not there, or cut off: then it is found out again.
    return undefined
  }
}

function write<T>(file: string, kept: Kept<T>): void {
  const draft = `${file}.${process.pid}`
  try {
    writeFileSync(draft, JSON.stringify(kept))
    renameSync(draft, file)
  } catch {
    // Nothing can be kept here.
  }
}
