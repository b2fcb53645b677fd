#!/usr/bin/env node
// `npm create plinth NAME` is `manage new NAME` where no project has the kit yet.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const kit = dirname(createRequire(import.meta.url).resolve('plinth/package.json'))
const args = [join(kit, 'bin/manage'), 'new', ...process.argv.slice(2)]
const { status, signal } = spawnSync(process.execPath, args, { stdio: 'inherit' })
if (signal) process.kill(process.pid, signal)
process.exitCode = status ?? 1
