import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'

/**
 * What is in the working folder that neither git nor .gitignore knows, and what tests have made beside that folder.
 * Nothing of the former where it is no clone.
 */
export function unexpected(): string[] {
  const args = ['status', '--porcelain', '--untracked-files=all', '.']
  const { stdout } = spawnSync('git', args, { encoding: 'utf8' })
  const untracked = (stdout ?? '').split('\n').filter((line) => line.startsWith('?? '))
  const beside = readdirSync('..').filter((name) => name.startsWith('plinth-'))
  return [...untracked.map((line) => line.slice(3)), ...beside.map((name) => `../${name}`)]
}
