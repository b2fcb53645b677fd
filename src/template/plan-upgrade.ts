import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { errors } from '../errors.ts'
import { kit } from '../process/kit.ts'
import { readRemembered } from './remembered.ts'
import { serviceFiles } from './service-files.ts'
import { planUpgrade } from './upgrade.ts'
import { isOlder } from './versions.ts'

/**
 * Plans how the service in a folder comes to the template of this kit; writes nothing.
 *
 * @throws {PlinthError} TEMPLATE_UNKNOWN, TEMPLATE_NEWER
 */
export async function planUpgradeOf(root: string) {
  const remembered = readRemembered(root)
  const { version } = kit()
  if (isOlder(version, remembered.version)) throw errors.TEMPLATE_NEWER(remembered.version, version)
  const theirs = await serviceFiles(remembered.answers, readManifest(root).plinth)
  const changes = planUpgrade(root, remembered, theirs)
  const isBehind = remembered.version !== version || changes.length > 0
  return { remembered, version, theirs, changes, isBehind }
}

/** What a service is called, and where it has the kit from: that is its own to say, and npm has written there what is installed. */
export function readManifest(root: string): { name: string; plinth: string | undefined } {
  try {
    const { name, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    return { name: name ?? basename(root), plinth: dependencies?.plinth }
  } catch {
    return { name: basename(root), plinth: undefined }
  }
}
