import { existsSync, watch } from 'node:fs'
import { join } from 'node:path'

const FOLDERS = ['src', 'plugins', 'commands']

// Editors write a file in several steps, and many files at once.
const SETTLED = 50

/**
 * Calls back whenever a file in `src`, `plugins` or `commands` of `root` has changed, or `.env` has. Node.js' own watch mode
 * loses track of files where a start fails.
 *
 * @returns ends that
 */
export function watchFiles(root: string, onChange: () => void): () => void {
  let timer: NodeJS.Timeout | undefined
  const soon = () => {
    clearTimeout(timer)
    timer = setTimeout(onChange, SETTLED)
  }
  const folders = FOLDERS.map((name) => join(root, name)).filter((folder) => existsSync(folder))
  const watchers = [
    ...folders.map((folder) => watch(folder, { recursive: true }, soon)),
    watch(root, (_, name) => (name === '.env' ? soon() : undefined)),
  ]
  return () => {
    clearTimeout(timer)
    for (const watcher of watchers) watcher.close()
  }
}
