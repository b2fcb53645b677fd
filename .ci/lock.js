// What is in package-lock.json of a folder: for check-supply.js and sbom.js.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The packages of the lock file, by the folders that they are installed in; the project's own is ''. */
export function readLock(folder) {
  return JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')).packages
}

/** What installing the kit alone brings: what it depends on, with the peers that it cannot do without. */
export function kitNames({ dependencies, peerDependencies, peerDependenciesMeta }) {
  const needed = Object.keys(peerDependencies ?? {})
  return [
    ...Object.keys(dependencies ?? {}),
    ...needed.filter((name) => !peerDependenciesMeta?.[name]?.optional),
  ]
}

/**
 * The folders of the packages that `names` are for the package in the folder `from`, and of all that these need.
 *
 * @throws where the lock file has one of them not
 */
export function closure(packages, from, names, found = new Set()) {
  for (const name of names) {
    const folder = resolve(packages, from, name)
    // npm leaves optional packages out where they cannot run.
    if (folder === undefined && packages[from].optionalDependencies?.[name]) continue
    if (folder === undefined) throw new Error(`${from || 'package.json'} needs ${name}`)
    if (found.has(folder)) continue
    // A link is a folder of the project itself.
    if (!packages[folder].link) found.add(folder)
    const { optionalDependencies } = packages[folder]
    const needs = [...kitNames(packages[folder]), ...Object.keys(optionalDependencies ?? {})]
    closure(packages, folder, needs, found)
  }
  return found
}

/** As Node.js does: in the nearest node_modules of a folder above. */
function resolve(packages, from, name) {
  for (let folder = from; ; folder = folder.slice(0, Math.max(folder.lastIndexOf('/'), 0))) {
    const path = `${folder && `${folder}/`}node_modules/${name}`
    if (path in packages) return path
    if (folder === '') return undefined
  }
}
