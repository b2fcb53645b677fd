import { spawnSync } from 'node:child_process'

/**
 * Makes a folder a git repository, and commits all that is in it.
 *
 * @returns why there is no commit; undefined: there is one
 */
export function commitAll(folder: string, message: string): string | undefined {
  if (git(folder, 'rev-parse', '--is-inside-work-tree').status === 0)
    return 'the folder is in a repository already'
  for (const args of [
    ['init', '--quiet', '--initial-branch=main'],
    ['add', '--all'],
    ['commit', '--quiet', '-m', message],
  ]) {
    const { error, status, stderr } = git(folder, ...args)
    if (error) return 'git is not installed'
    if (status !== 0) return `git ${args[0]} says: ${stderr.trim().split('\n')[0]}`
  }
  return undefined
}

/** Why it could not be told from the commits what is changed in a folder; undefined: all is committed. */
export function problemOfCommits(folder: string): string | undefined {
  const { error, status, stdout } = git(folder, 'status', '--porcelain', '--', '.')
  if (error) return 'git is not installed'
  if (status !== 0) return 'the folder is in no git repository'
  const lines = stdout.trimEnd().split('\n').filter(Boolean)
  const [first = ''] = lines
  return lines.length === 0
    ? undefined
    : `${first.slice(3)}${lines.length > 1 ? ` and ${lines.length - 1} more` : ''}`
}

/** Whether `git clone` finds it by that, and it is no folder here. */
export const isRemote = (place: string): boolean => /^(?:[a-z]+:\/\/|[\w.-]+@[\w.-]+:)/.test(place)

/**
 * Clones what a repository has now into an empty folder, without its history.
 *
 * @returns why not; undefined: it is there
 */
export function clone(url: string, folder: string): string | undefined {
  // Who asks for many services is not asked for passwords.
  const quiet = { GIT_TERMINAL_PROMPT: '0', GIT_SSH_COMMAND: 'ssh -o BatchMode=yes' }
  const { error, status, stderr } = spawnSync(
    'git',
    ['clone', '-q', '--depth=1', '--', url, folder],
    {
      encoding: 'utf8',
      env: { ...quiet, ...process.env },
    },
  )
  if (error) return 'git is not installed'
  return status === 0 ? undefined : withoutSecret(`git clone says: ${stderr.trim().split('\n')[0]}`)
}

/** Without the user and the password of a URL. */
export const withoutSecret = (text: string): string => text.replaceAll(/\/\/[^/@\s]*@/g, '//')

function git(cwd: string, ...args: string[]) {
  return spawnSync('git', args, { cwd, encoding: 'utf8' })
}
