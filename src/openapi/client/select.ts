import type { Found } from './find-operations.ts'

/** What of a document is wanted. */
export interface Selection {
  readonly found: readonly Found[]
  /** The patterns that nothing matches. */
  readonly unmatched: readonly string[]
}

/**
 * The operations that one of the patterns names: an operationId, a tag, a path, or a method and a path; `*` stands for
 * anything. No patterns: all of them.
 */
export function selectOperations(found: readonly Found[], patterns: readonly string[]): Selection {
  if (patterns.length === 0) return { found, unmatched: [] }
  const tests = patterns.map((pattern) => ({ pattern, test: compile(pattern) }))
  return {
    found: found.filter((one) => tests.some(({ test }) => test(one))),
    unmatched: tests.filter(({ test }) => !found.some(test)).map(({ pattern }) => pattern),
  }
}

function compile(pattern: string): (one: Found) => boolean {
  const [, method, path] = /^(?:([A-Za-z]+) +)?(\/.*)$/.exec(pattern) ?? []
  if (path !== undefined) {
    const matches = globOf(path)
    const wanted = method?.toUpperCase()
    return (one) => (wanted === undefined || wanted === one.method) && matches.test(one.path)
  }
  const matches = globOf(pattern)
  return ({ id, name, tags }) => [id ?? name, ...tags].some((text) => matches.test(text))
}

function globOf(pattern: string): RegExp {
  const parts = pattern.split('*').map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`, 's')
}
