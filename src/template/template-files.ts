import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { kitFolder } from '../process/kit.ts'
import { type Answered, placeOf, render } from './render.ts'

/** A file that a template makes. */
export interface TemplateFile {
  /** Below the folder of the service. */
  readonly path: string
  readonly text: string
  readonly executable: boolean
}

/** The files of a template, in the order of their paths. @param template its folder below `templates/` */
export function templateFiles(
  template: string,
  answers: Answered,
  names: Readonly<Record<string, string>>,
): TemplateFile[] {
  const folder = join(kitFolder(), 'templates', template)
  return globSync('**/*', { cwd: folder, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()
    .map((path) => {
      const text = render(readFileSync(join(folder, path), 'utf8'), answers, names)
      return { path: placeOf(path, names), text, executable: text.startsWith('#!') }
    })
}
