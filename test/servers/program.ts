import { execFile, spawn } from 'node:child_process'
import { accessSync, closeSync, constants, existsSync, openSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { progress, untilDone } from './ready.ts'
import type { Sandbox } from './sandbox.ts'

/** May this user run `file`? */
export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The path of the first of these programs that is here. Servers often live outside a user's PATH. */
export function findProgram(names: readonly string[]): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return names.flatMap((name) => folders.map((folder) => resolve(folder, name))).find(isExecutable)
}

/** What a program prints for `--version`. */
export async function versionOf(program: string): Promise<string> {
  return (await promisify(execFile)(program, ['--version'])).stdout
}

/** Can Debian's packages be installed here without asking anyone? */
export const canInstall = (): boolean => process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')

// A policy of 101 keeps packages from starting their services. The machine's own policy is left alone.
const INSTALL = `
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f $policy' EXIT
  printf '#!/bin/sh\\nexit 101\\n' >$policy
  chmod +x $policy
fi
apt-get -q update
failed=0
for package in "$@"; do
  apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$package" || failed=1
done
exit $failed
`

/**
 * Installs Debian packages without starting their services; one that cannot be had does not hinder the others.
 * An installation that has begun runs to its end even if the runner is stopped meanwhile: broken off, it would
 * leave the machine's package database in pieces.
 *
 * @throws SetupError with the end of what apt-get printed
 */
export async function install(packages: readonly string[], sandbox: Sandbox): Promise<void> {
  progress(`installing ${packages.join(', ')} with apt-get`)
  const log = join(sandbox.folder, 'apt-get.log')
  const file = openSync(log, 'a')
  const apt = spawn('/bin/sh', ['-c', INSTALL, 'install', ...packages], {
    detached: true,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', file, file],
  })
  closeSync(file)
  await untilDone('apt-get', { log, process: apt })
}
