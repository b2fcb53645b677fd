import { requirePackages } from '../packages.ts'

/**
 * Documents as YAML. A file of its own: `yaml` is loaded by those alone who write some.
 *
 * @throws {PlinthError} PACKAGE_MISSING
 */
export async function toYaml(documents: readonly object[]): Promise<string> {
  requirePackages('manage deploy', ['yaml'])
  const { stringify } = await import('yaml')
  // Not folded, and without anchors: it is read in reviews.
  const options = { lineWidth: 0, aliasDuplicateObjects: false } as const
  return documents.map((one) => stringify(one, options)).join('---\n')
}
