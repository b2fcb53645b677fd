/** A line of a metric: its name, its labels in braces, its value. */
const LINE = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)$/

/** What a text of Prometheus says: by `name{label="value"}`, labels sorted. */
export type Told = ReadonlyMap<string, number>

/** Reads a text as Prometheus does. @throws where it would refuse it */
export function readMetrics(text: string): Told {
  const told = new Map<string, number>()
  const types = new Set<string>()
  if (!text.endsWith('\n')) throw new Error('it does not end with a line break')
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue
    if (line.startsWith('# TYPE ')) {
      const name = line.split(' ')[2] as string
      if (types.has(name)) throw new Error(`${name} is there twice`)
      types.add(name)
      continue
    }
    const [, name, labels = '', value] = LINE.exec(line) ?? []
    if (!name) throw new Error(`it is no line of a metric: ${line}`)
    const sorted = [...labels.matchAll(/\w+="(?:[^"\\]|\\.)*"/g)].map(([one]) => one).sort()
    const key = sorted.length > 0 ? `${name}{${sorted.join(',')}}` : name
    if (told.has(key)) throw new Error(`${key} is there twice`)
    told.set(key, Number(value))
  }
  return told
}

/** What is told of one name, by the labels. */
export function ofMetric(told: Told, name: string): Record<string, number> {
  return Object.fromEntries([...told].filter(([key]) => key === name || key.startsWith(`${name}{`)))
}
