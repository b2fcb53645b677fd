import { pathToFileURL } from 'node:url'
import { errors } from '../errors.ts'

/**
 * Imports a module of a service.
 *
 * @throws {PlinthError} SERVICE_BROKEN with file and line where it cannot be parsed or throws while it loads
 */
export async function importModule(file: string): Promise<Record<string, unknown>> {
  try {
    return await import(pathToFileURL(file).href)
  } catch (cause) {
    throw errors.SERVICE_BROKEN.with({ cause }, file, describe(cause))
  }
}

/**
 * The default export of a service's module.
 *
 * @param wanted what it should be, in words
 * @param type what it is of, in the sense of `typeof`
 * @throws {PlinthError} SERVICE_BROKEN, also where it is something else
 */
export async function importDefault<T>(
  file: string,
  wanted: string,
  type: 'object' | 'function',
): Promise<T> {
  const module = await importModule(file)
  if (typeof module.default !== type) {
    throw errors.SERVICE_BROKEN(
      file,
      `its default export is ${typeof module.default}; expected ${wanted}`,
    )
  }
  return module.default as T
}

// A syntax error's stack begins with the place (file, line, the line itself); its message does not have it.
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const [place, ...rest] = (error.stack ?? '').split('\n')
  if (!(error instanceof SyntaxError) || place?.startsWith('SyntaxError')) {
    const at = rest.find((line) => line.includes('file://'))?.trim()
    return [`${error.name}: ${error.message}`, at].filter(Boolean).join(' ')
  }
  return `${error.name}: ${error.message} (${place})`
}
