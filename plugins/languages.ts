import type { FastifyInstance } from 'fastify'
import type { GivenLanguage, Language, Languages } from '../src/http/languages.ts'
import { definePlugin } from '../src/plugin.ts'
import { assertFree, checkOptions, invalidOption, isObject } from '../src/plugin-guards.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The languages that errors are told in: `app.languages.choose(request)` is the one that a client asks for. */
    languages: Languages
  }
}

export type { GivenLanguage, Language }

export interface LanguagesOptions {
  /**
   * By their tags (`de`, `pt-BR`): languages beside `en` and `zh-CN`, and messages that those lack, of errors of the service itself.
   * What both have is told as here.
   */
  languages?: Readonly<Record<string, GivenLanguage>>
  /** The cookie whose language comes before that of `Accept-Language`; default `blueking_language`. */
  cookie?: string
}

/**
 * Has errors told in the language that a client asks for: messages and what is wrong with a request. Logs stay English.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE
 */
async function register(app: FastifyInstance, options: LanguagesOptions): Promise<void> {
  checkOptions<LanguagesOptions>('languages', options, { languages: 'object?', cookie: 'text?' })
  const { languages = {}, cookie = 'blueking_language' } = options
  for (const [tag, language] of Object.entries(languages))
    if (!isTag(tag) || !(isObject(language) || typeof language === 'function'))
      throw invalidOption(
        'languages',
        `languages.${tag}`,
        language,
        'of a tag (de, pt-BR) an object with messages and phrases, or a function that imports one',
      )
  assertFree(app, 'languages', 'languages')
  const { Languages } = await import('../src/http/languages.ts')
  const own = { 'zh-CN': () => import('../src/http/zh-cn.ts') }
  app.decorate('languages', new Languages([own, languages], cookie))
}

function isTag(tag: string): boolean {
  try {
    return Intl.getCanonicalLocales(tag)[0] === tag
  } catch {
    return false
  }
}

export default definePlugin({
  name: 'languages',
  after: ['config'],
  decorators: ['languages'],
  options: ({ service: { languages } }): LanguagesOptions => (languages ? { languages } : {}),
  register,
})
