import type { Test } from 'tap'
import { KIT, type ManageOptions, manageAlone } from './manage.ts'

/** Writes, when a process ends, what of Node.js and which packages it has loaded. */
const PRELOADED = `
import module from 'node:module'
const packages = new Set()
module.registerHooks({
  load(url, context, next) {
    const [name] = /(?<=.*\\/node_modules\\/)(@[^/]+\\/)?[^/]+/.exec(url) ?? []
    if (name) packages.add(name)
    return next(url, context)
  },
})
process.on('exit', () => {
  const builtin = process.moduleLoadList.flatMap((one) => /^NativeModule ([^/]+)$/.exec(one)?.[1] ?? [])
  console.error('LOADED ' + JSON.stringify([...builtin.map((name) => 'node:' + name), ...packages]))
})`

/** What a command has loaded when it has run to its end: `node:http`, `ajv`. */
export async function loadedBy(
  t: Test,
  args: readonly string[],
  options: ManageOptions,
): Promise<string[]> {
  const preload = `--import=data:text/javascript,${encodeURIComponent(PRELOADED)}`
  const { NODE_OPTIONS = KIT } = options.env ?? {}
  const env = { ...options.env, NODE_OPTIONS: `${NODE_OPTIONS} ${preload}` }
  const { code, stderr } = await manageAlone(t, args, { ...options, env })
  t.equal(code, 0, stderr)
  return JSON.parse(/^LOADED (.*)$/m.exec(stderr)?.[1] ?? '[]')
}
