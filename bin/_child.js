import { createRequire } from 'node:module'

// Plain JavaScript, because a Node.js that is too old for the kit runs it too.
const SIGNALS = ['SIGTERM', 'SIGHUP', 'SIGUSR2', 'SIGQUIT', 'SIGINT']
// Most commands start nothing: with what that needs comes all of net.
const require = createRequire(import.meta.url)

const FROM_KEYBOARD = ['SIGINT', 'SIGQUIT']

export function reachesAll(signal) {
  return FROM_KEYBOARD.includes(signal) && [0, 1].some(require('node:tty').isatty)
}

export function superviseChild(command, args, env = {}, stdio = 'inherit') {
  let child
  const forward = (signal) => {
    if (!reachesAll(signal)) child.kill(signal)
  }
  // Before it starts: a signal that came between would end this process and leave the child alone.
  for (const signal of SIGNALS) process.on(signal, forward)
  child = require('node:child_process').spawn(command, args, {
    stdio,
    env: { ...process.env, ...env },
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      // The others stay: one that comes now would be what this process ends by, and not what the child has come to.
      if (signal) process.off(signal, forward).kill(process.pid, signal)
      resolve(code ?? 1)
    })
  })
}

export const tie = {
  env: { PLINTH_TIED: '1' },
  stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
}

export function endWithParent() {
  if (!process.env.PLINTH_TIED) return
  // Not for what this process starts.
  delete process.env.PLINTH_TIED
  const end = () => process.kill(process.pid, 'SIGTERM')
  if (!process.connected) return end()
  process.once('disconnect', end)
  // Nothing to stay for.
  process.channel.unref()
}
