const IF = /^\s*(?:\/\/|#|<!--) if (\w+)(?:=(\w+))?(?: -->)?$/
const END = /^\s*(?:\/\/|#|<!--) end(?: -->)?$/

/** What somebody has answered, by question. */
export type Answered = Readonly<Record<string, string | boolean>>

/**
 * Writes a file of a template. The lines between `// if auth=jwt` and `// end` are for who has answered so, those after
 * `// if auth` for who has answered anything but no, none and nothing; `#` and `<!-- -->` begin comments, too. `__NAME__` is what `names`
 * has under NAME.
 *
 * @throws {Error} a mark that is left open, or is in another
 */
export function render(text: string, answers: Answered, names: Readonly<Record<string, string>>) {
  const lines: string[] = []
  let isKept: boolean | undefined
  for (const line of text.split('\n')) {
    const [mark, question = '', wanted] = IF.exec(line) ?? []
    if (mark !== undefined) {
      if (isKept !== undefined) throw new Error(`a mark is in another: ${line}`)
      isKept = fits(answers[question], wanted)
    } else if (END.test(line)) isKept = undefined
    else if (isKept !== false) lines.push(line)
  }
  if (isKept !== undefined) throw new Error('a mark is not closed')
  return replaceNames(lines.join('\n'), names)
}

function fits(answer: string | boolean | undefined, wanted: string | undefined): boolean {
  return wanted === undefined
    ? answer !== false && answer !== 'none' && answer !== ''
    : answer === wanted
}

/** Where a file of a template is written: npm leaves some names out of packages, and tools take others for their own. */
export function placeOf(path: string, names: Readonly<Record<string, string>> = {}): string {
  return replaceNames(path.replace(/(^|\/)dot-/g, '$1.').replace(/\.in$/, ''), names)
}

function replaceNames(text: string, names: Readonly<Record<string, string>>): string {
  return text.replace(/__([A-Z][A-Z_]*?)__/g, (mark, name) => names[name] ?? mark)
}
