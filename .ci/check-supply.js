// Looks at what comes from others: node .ci/check-supply.js [FOLDER]. Exit code 1, and a line for each thing that is wrong.
// SECURITY.md says what for.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { closure, kitNames, readLock } from './lock.js'

/** Whoever uses what is under these may do with it as with the kit. */
const LICENCES = [
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'ISC',
  'MIT',
]
/** Data that the example serves and the kit does not bring: shared under the same terms where it is changed. */
const LICENCES_OF_EXAMPLES = { 'node_modules/world-countries': 'ODbL-1.0' }
/** The most packages that installing the kit brings, with Fastify. There were 94 when this was written. */
const MOST = 105

const SCRIPTS = ['preinstall', 'install', 'postinstall']

const folder = process.argv[2] ?? join(import.meta.dirname, '..')
const own = readJson('package.json')
const packages = readLock(folder)
const problems = []

const used = production()
checkDownloads()
checkScripts()
checkLicences()
for (const problem of problems) console.error(problem)
process.exitCode = problems.length === 0 ? 0 : 1

/** All that a service may bring to production: the kit, what it can use, and the examples. */
function production() {
  try {
    const kit = closure(packages, '', kitNames(own))
    const all = closure(packages, '', Object.keys(own.peerDependencies ?? {}), new Set(kit))
    for (const [path, { dependencies }] of Object.entries(packages)) {
      if (path !== '' && isOwn(path)) closure(packages, path, Object.keys(dependencies ?? {}), all)
    }
    if (kit.size > MOST)
      problems.push(
        `the kit brings ${kit.size} packages; expected at most ${MOST}: leave one out, or say in docs/decisions/ why not`,
      )
    if (problems.length === 0)
      console.log(
        `the kit brings ${kit.size} packages; with all that it can use they are ${all.size}`,
      )
    return all
  } catch ({ message }) {
    problems.push(`${message}, which is not in package-lock.json; run npm install`)
    return new Set()
  }
}

/** The registry is the business of whoever installs; that they get what was tried here is not. */
function checkDownloads() {
  for (const [path, entry] of Object.entries(packages)) {
    if (isOwn(path) || entry.link) continue
    if (entry.resolved)
      problems.push(`${path} is from ${entry.resolved}; expected no address in package-lock.json`)
    if (entry.integrity?.startsWith('sha512-')) continue
    // complete-lock.js has added it: a tool for another kind of machine, which the registry at hand may not have.
    const isOtherTool = entry.dev && entry.optional && (entry.os || entry.cpu) && !entry.integrity
    if (!isOtherTool)
      problems.push(`${path} has the integrity ${entry.integrity}; expected one by sha512`)
  }
}

/** Code that runs when somebody installs: of each it is decided whether it may. */
function checkScripts() {
  const decided = new Set(Object.keys(own.allowScripts ?? {}))
  for (const [path, { hasInstallScript, link }] of Object.entries(packages)) {
    if (isOwn(path) || link) continue
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
    const { scripts = {}, gypfile } = installed(path) ?? {}
    const script = SCRIPTS.find((one) => scripts[one]) ?? (gypfile === true && 'node-gyp')
    if (!hasInstallScript && !script) continue
    if (!decided.delete(name) && own.allowScripts?.[name] === undefined)
      problems.push(
        `${path} has an install script${script ? ` (${script})` : ''}; expected allowScripts of package.json to say whether it may run`,
      )
  }
  for (const name of decided)
    problems.push(`allowScripts of package.json names ${name}, which has no install script`)
}

function checkLicences() {
  for (const path of used) {
    const licence = licenceOf(installed(path) ?? packages[path])
    if (isAllowed(licence) || (licence && LICENCES_OF_EXAMPLES[path] === licence)) continue
    problems.push(
      `${path} has the licence ${licence}; expected one of ${LICENCES.join(', ')}: ask before it is added to .ci/check-supply.js`,
    )
  }
}

/** One of alternatives has to be allowed, and all of what holds together. */
function isAllowed(licence) {
  const alternatives = licence?.replace(/^\((.*)\)$/, '$1').split(' OR ') ?? []
  return alternatives.some((one) => one.split(' AND ').every((name) => LICENCES.includes(name)))
}

/** Also as packages said it long ago. */
function licenceOf({ license, licenses }) {
  const [first] = [licenses ?? license].flat()
  return typeof first === 'object' ? first.type : first
}

/** What the package itself says; nothing where this machine does not have it. */
function installed(path) {
  return existsSync(join(folder, path, 'package.json'))
    ? readJson(`${path}/package.json`)
    : undefined
}

function isOwn(path) {
  return !path.split('/').includes('node_modules')
}

function readJson(path) {
  return JSON.parse(readFileSync(join(folder, path), 'utf8'))
}
