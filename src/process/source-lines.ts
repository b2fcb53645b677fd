import { readFileSync } from 'node:fs'
import { SourceMap, type SourceOrigin } from 'node:module'

// Of the built kit alone: a service and the kit's own sources run as they are written.
const FRAME =
  /(file:\/\/[^\s()]+\/dist\/(?:chunks|commands|plugins|src)\/[^\s():]+\.js):(\d+):(\d+)/g
const BUILT = new URL('../', import.meta.url).href

const maps = new Map<string, SourceMap | null>()

/**
 * A stack that names the kit's sources, where it names what they were built to. Not by `--enable-source-maps`: that reads
 * every map when a process starts, and this only those of an error that has happened.
 */
export function atSources(stack: string): string {
  return stack.replaceAll(FRAME, (place: string, url: string, line: string, column: string) => {
    const map = url.startsWith(BUILT) ? mapOf(url) : null
    const { fileName, lineNumber, columnNumber } = (map?.findOrigin(Number(line), Number(column)) ??
      {}) as Partial<SourceOrigin>
    if (fileName === undefined) return place
    return `${new URL(fileName, url).href}:${lineNumber}:${columnNumber}`
  })
}

function mapOf(url: string): SourceMap | null {
  let map = maps.get(url)
  if (map === undefined) {
    try {
      map = new SourceMap(JSON.parse(readFileSync(new URL(`${url}.map`), 'utf8')))
    } catch {
      // A package without maps is no reason to lose an error.
      map = null
    }
    maps.set(url, map)
  }
  return map
}
