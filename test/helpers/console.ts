/** A command of a console block, and what is said of it. */
export interface Example {
  /** What is typed; several lines where one ends with `\`. */
  line: string
  code: number
  /** What it prints, `…` for anything; `undefined`: nothing is said. */
  output: string | undefined
}

/** The commands of every console block of a page. */
export function examplesOf(page: string): Example[] {
  return [...page.matchAll(/^```console\n(.*?)^```/gms)].flatMap(([, block = '']) =>
    readConsole(block),
  )
}

/** The commands of one such block. */
export function readConsole(block: string): Example[] {
  return block.split(/^\$ /m).slice(1).map(toExample)
}

function toExample(source: string): Example {
  const [, line = '', rest = ''] = /^((?:.*\\\n)*.*)\n?([\s\S]*)$/.exec(source.trimEnd()) ?? []
  const lines = rest === '' ? [] : rest.split('\n')
  const code = Number(/^\[exit code (\d)\]$/.exec(lines.at(-1) ?? '')?.[1] ?? 0)
  const output = (code > 0 ? lines.slice(0, -1) : lines).join('\n')
  return { line, code, output: output || undefined }
}

/** Widths of columns differ. */
export const narrow = (text: string) => text.replace(/ {2,}/g, '  ')

/** What is printed, as a whole. */
export function toPattern(output: string): RegExp {
  return new RegExp(`^${toSource(narrow(output))}\\s*$`)
}

/** `…` is anything, all else itself. */
export function toSource(text: string): string {
  const parts = text.split('…').map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  return parts.join('[^]*')
}
