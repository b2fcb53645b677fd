import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { existsSync, watch } from 'node:fs'
import { join } from 'node:path'
import { isatty } from 'node:tty'

const FOLDERS = ['src', 'plugins', 'commands']
const SIGNALS = ['SIGTERM', 'SIGHUP', 'SIGINT'] as const

// Editors write a file in several steps, and many files at once.
const SETTLED = 100

/**
 * Runs a program, and runs it again (after SIGTERM, if it has not ended by itself) whenever a file in `src`,
 * `plugins` or `commands` of `root` changes, or `.env` does. A signal ends both. Node.js' own watch mode loses track
 * of files where a start fails.
 *
 * @param options how the program is started
 * @returns the program's exit code, when a signal has ended it
 */
export async function runAndWatch(
  root: string,
  command: string,
  args: readonly string[],
  options: SpawnOptions,
): Promise<number> {
  const ended = Promise.withResolvers<number>()
  let child: ChildProcess | undefined
  let next: 'wait' | 'start' | 'end' = 'wait'

  const start = () => {
    next = 'wait'
    child = spawn(command, args, options)
    child.once('error', ended.reject)
    child.once('exit', (code) => {
      child = undefined
      if (next === 'end') ended.resolve(code ?? 1)
      else if (next === 'start') start()
    })
  }
  const restart = () => {
    if (next === 'end') return
    if (!child) return start()
    next = 'start'
    child.kill('SIGTERM')
  }
  const end = (signal: NodeJS.Signals) => {
    next = 'end'
    if (!child) ended.resolve(0)
    // A terminal sends Ctrl-C to both processes: passed on as well, it would count as a second one.
    else if (signal !== 'SIGINT' || ![0, 1].some(isatty)) child.kill(signal)
  }

  for (const signal of SIGNALS) process.on(signal, end)
  const stopWatching = watchFiles(root, restart)
  start()
  try {
    return await ended.promise
  } finally {
    stopWatching()
    for (const signal of SIGNALS) process.off(signal, end)
  }
}

function watchFiles(root: string, onChange: () => void): () => void {
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
