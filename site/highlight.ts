import * as languages from '@speed-highlight/core/languages'
import { type ShjLanguageData, tokenizeWith } from '@speed-highlight/core/tokenize'

export const escapeHtml = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')

// Its own types do not fit together where `exactOptionalPropertyTypes` is set.
const options = {
  languages: languages as Readonly<Record<string, unknown>> as Record<string, ShjLanguageData>,
}

/** The languages of fences, where the highlighter calls them otherwise. */
const NAMES: Readonly<Record<string, string>> = {
  dockerfile: 'docker',
  env: 'ini',
  javascript: 'js',
  python: 'py',
  sh: 'bash',
  typescript: 'ts',
  yml: 'yaml',
}

/** Code as HTML. Of a language that is not known it has no colours. */
export function highlight(code: string, lang: string): string {
  if (lang === 'console') return code.split('\n').map(highlightLine).join('\n')
  let html = ''
  const add = (text: string, token?: string) => {
    const escaped = escapeHtml(text)
    // Operators are most of all tokens, and style.css gives them no colour.
    html += token && token !== 'oper' ? `<span class="${token}">${escaped}</span>` : escaped
  }
  tokenizeWith(code, NAMES[lang] ?? lang, add, options)
  return html
}

/** Of a terminal: what was typed has colours, what came back has none. */
const highlightLine = (line: string): string =>
  line.startsWith('$ ') ? `<b>$</b> ${highlight(line.slice(2), 'bash')}` : escapeHtml(line)
