import { registerHooks } from 'node:module'

// Loaded before anything else into every test process. For coverage tap has each process, and its children,
// record the files that they load, which takes half of the time in which a test starts. Without coverage nobody
// reads the record, and nothing else that tap preloads is used: mocks of modules, a compiler. Should these have
// other names one day, tests are slower, nothing else.

const PRELOADED = /\/@tapjs\/(mock|processinfo|typescript)\/dist\/esm\/import\.mjs"?$/

if (process.env._TAPJS_PROCESSINFO_COVERAGE_ === '0') {
  leaveOut(3)
  // A source whose types are stripped keeps its lines and columns.
  process.setSourceMapsEnabled(false)
  // What a test starts needs none of them either.
  process.env.NODE_OPTIONS = (process.env.NODE_OPTIONS ?? '').split(' ').filter(isOurs).join(' ')
  process.execArgv = process.execArgv.filter(isOurs)
}

function leaveOut(count: number): void {
  let left = count
  const hooks = registerHooks({
    load(url, context, next) {
      if (!PRELOADED.test(url)) return next(url, context)
      left -= 1
      if (left === 0) hooks.deregister()
      return { format: 'module', source: '', shortCircuit: true }
    },
  })
}

function isOurs(option: string): boolean {
  return (
    !PRELOADED.test(option) &&
    ![import.meta.url, '--enable-source-maps'].some((one) => option.includes(one))
  )
}
