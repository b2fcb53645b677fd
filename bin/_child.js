import { spawn } from 'node:child_process'

// Plain JavaScript, because a Node.js that is too old for the kit runs it too.
const SIGNALS = ['SIGTERM', 'SIGHUP', 'SIGUSR2', 'SIGQUIT', 'SIGINT']

export function superviseChild(command, args, env = {}) {
  const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, ...env } })
  const forward = (signal) => {
    // A terminal sends Ctrl-C to both processes: passed on as well, it would count as a second one.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
  }
  for (const signal of SIGNALS) process.on(signal, forward)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      for (const one of SIGNALS) process.off(one, forward)
      if (signal) process.kill(process.pid, signal)
      resolve(code ?? 1)
    })
  })
}
