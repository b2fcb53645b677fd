type Section = Record<string, unknown>

/** By name, so that neighbours are no conflict. */
const BY_NAME = ['scripts', 'engines', 'dependencies', 'devDependencies', 'overrides']

/**
 * Merges three package.json: of what the template has changed, that is taken which the team has not.
 *
 * @returns `notes`: what the team has otherwise
 */
export function mergeManifests(
  ours: string,
  base: string,
  theirs: string,
): { merged: string; notes: string[] } {
  const [own, before, now] = [ours, base, theirs].map((text) => JSON.parse(text)) as [
    Section,
    Section,
    Section,
  ]
  const notes: string[] = []
  for (const key of BY_NAME) {
    const [own0, before0, now0] = [own, before, now].map((one) => (one[key] ?? {}) as Section) as [
      Section,
      Section,
      Section,
    ]
    const section = { ...own0 }
    for (const name of new Set([...Object.keys(before0), ...Object.keys(now0)])) {
      const isSame = JSON.stringify(before0[name]) === JSON.stringify(now0[name])
      if (isSame || JSON.stringify(own0[name]) === JSON.stringify(now0[name])) continue
      if (JSON.stringify(own0[name]) !== JSON.stringify(before0[name])) {
        const wanted = now0[name] === undefined ? 'none any more' : JSON.stringify(now0[name])
        notes.push(
          `${key}.${name} is ${JSON.stringify(own0[name]) ?? 'taken away'}, the template has ${wanted}`,
        )
      } else if (now0[name] === undefined) delete section[name]
      else section[name] = now0[name]
    }
    if (JSON.stringify(section) !== JSON.stringify(own0)) own[key] = sorted(key, section)
  }
  const indent = /^[ \t]+(?=")/m.exec(ours)?.[0] ?? '  '
  const text = `${JSON.stringify(own, null, indent)}\n`
  const isSame = JSON.stringify(JSON.parse(ours)) === JSON.stringify(own)
  return {
    merged: isSame ? ours : ours.includes('\r\n') ? text.replaceAll('\n', '\r\n') : text,
    notes,
  }
}

/** As npm does with packages. */
function sorted(key: string, section: Section): Section {
  if (!/dependencies$/i.test(key)) return section
  return Object.fromEntries(Object.entries(section).sort(([a], [b]) => (a < b ? -1 : 1)))
}
