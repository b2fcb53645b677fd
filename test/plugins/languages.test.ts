import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import envelope from '../../plugins/envelope.ts'
import languages, { type LanguagesOptions } from '../../plugins/languages.ts'
import { defineError, errors } from '../../src/errors.ts'
import { Wording } from '../../src/http/languages.ts'
import zhCn from '../../src/http/zh-cn.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, type ServiceOptions } from '../helpers/app.ts'
import { ask, listen } from '../helpers/wire.ts'

const CITY_CLOSED = defineError<[name: string, at: number]>(
  'CITY_CLOSED',
  409,
  'The city %s is closed from %s on',
)

const resources = {
  add: defineResource({
    summary: 'Add',
    method: 'POST',
    request: Type.Object({
      name: Type.String({ minLength: 3 }),
      size: Type.Integer({ minimum: 1 }),
      kind: Type.Optional(Type.Union([Type.Literal('a'), Type.Literal('b')])),
    }),
    perform: () => null,
  }),
  closed: defineResource({
    summary: 'Closed',
    path: '/closed',
    perform() {
      throw CITY_CLOSED.with({ data: { until: 7 } }, 'Bonn', 5)
    },
  }),
}

async function serve(t: Test, options: ServiceOptions = {}) {
  const { app, logs } = await createService(t, resources, options)
  const port = await listen(app)
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const answer = await ask(port, `GET ${path}`, headers)
    return { ...answer, message: answer.json().message }
  }
  return { port, get, logs }
}

const CHINESE = { 'accept-language': 'zh-CN,zh;q=0.9,en;q=0.8' }
const NONE = '没有可以处理 GET /none 的接口'

t.test(
  'an error is told in the language that the client asks for, and logged in English',
  async (t) => {
    const { get } = await serve(t)
    const chinese = await get('/none', CHINESE)
    t.match(chinese, {
      status: 404,
      message: NONE,
      headers: { 'content-language': 'zh-CN', vary: 'accept-language, cookie' },
    })
    t.match(chinese.json(), { result: false, code: 'ROUTE_NOT_FOUND', data: null, errors: null })
    t.match(await get('/none'), {
      message: 'Nothing answers GET /none',
      headers: { 'content-language': 'en', vary: 'accept-language, cookie' },
    })
  },
)

t.test('what is wrong with a request is, too, place by place', async (t) => {
  const { port } = await serve(t)
  const headers = { ...CHINESE, 'content-type': 'application/json' }
  const body = JSON.stringify({ name: 'x', kind: 'c', more: 1 })
  const { message, errors } = (await ask(port, 'POST /things', headers, body)).json()
  t.equal(message, '对 things.add 的请求无效，详见 errors')
  t.has(errors, [
    { path: '/size', message: '为必填项' },
    { path: '/more', message: '不是此处已知的字段' },
    { path: '/name', message: '不能少于 3 个字符' },
  ])
  t.notMatch(JSON.stringify(errors), /must|is /)
  const broken = (await ask(port, 'POST /things', headers, '{')).json()
  t.equal(broken.message, '无法读取请求：请求体不是有效的 JSON')
})

t.test('the cookie comes before Accept-Language; what is not there is English', async (t) => {
  const { get } = await serve(t)
  const asked: [Record<string, string>, string][] = [
    [{ cookie: 'a=1; blueking_language=zh-cn' }, 'zh-CN'],
    [{ cookie: 'blueking_language="zh-hans"; b=2' }, 'zh-CN'],
    [{ cookie: 'blueking_language=en', ...CHINESE }, 'en'],
    [{ cookie: 'blueking_language=fr', ...CHINESE }, 'zh-CN'],
    [{ cookie: 'xblueking_language=zh-cn' }, 'en'],
    [{ 'accept-language': 'zh' }, 'zh-CN'],
    [{ 'accept-language': 'zh_CN' }, 'zh-CN'],
    [{ 'accept-language': 'zh-Hans-CN' }, 'zh-CN'],
    [{ 'accept-language': 'fr, en-GB;q=0.5, zh;q=0.4' }, 'en'],
    [{ 'accept-language': 'en;q=0.3, zh ; Q=0.7' }, 'zh-CN'],
    [{ 'accept-language': 'zh;q=0, *' }, 'en'],
    [{ 'accept-language': 'zh;q=x,;,=' }, 'en'],
    [{ 'accept-language': `${'x,'.repeat(4000)}zh` }, 'en'],
  ]
  for (const [headers, tag] of asked)
    t.equal((await get('/none', headers)).headers['content-language'], tag, JSON.stringify(headers))
})

t.test('a service adds languages, and messages of its own errors', async (t) => {
  let reads = 0
  const { get, logs } = await serve(t, {
    languages: {
      'zh-CN': { messages: { CITY_CLOSED: '城市 %s 自 %s 点起关闭', ROUTE_NOT_FOUND: '%s %s?' } },
      de: async () => {
        reads++
        return { default: { messages: { CITY_CLOSED: 'Die Stadt %s ist ab %s Uhr zu' } } }
      },
    },
  })
  t.match(await get('/things/closed', CHINESE), { status: 409, message: '城市 Bonn 自 5 点起关闭' })
  t.equal((await get('/none', CHINESE)).message, 'GET /none?', 'of the kit, too')
  t.equal(reads, 0)
  const german = { 'accept-language': 'de-AT' }
  for (let i = 0; i < 2; i++) {
    const answer = await get('/things/closed', german)
    t.equal(answer.message, 'Die Stadt Bonn ist ab 5 Uhr zu')
    t.strictSame(answer.json().data, { until: 7 })
    t.equal(answer.headers['content-language'], 'de')
  }
  t.equal(reads, 1)
  t.equal((await get('/none', german)).message, 'Nothing answers GET /none', 'what is not there')
  t.notMatch(JSON.stringify(logs), /Stadt|城市/)
})

t.test('one that cannot be read is English, and the log tells', async (t) => {
  const broken = () => Promise.reject(new Error('no such file'))
  const { get, logs } = await serve(t, { languages: { de: broken } })
  const german = { 'accept-language': 'de' }
  t.match(await get('/none', german), {
    status: 404,
    message: 'Nothing answers GET /none',
    headers: { 'content-language': 'en' },
  })
  t.ok(logs.some(({ msg }) => msg === 'a language cannot be read'))
})

t.test('what the router refuses, and the codes of BlueKing, are told so, too', async (t) => {
  const { get, port } = await serve(t, { compat: 'bk' })
  const bad = await get('/%zz', CHINESE)
  t.match(bad, { status: 400, message: '无法读取请求：URL 的百分号编码不正确' })
  const headers = { ...CHINESE, 'content-type': 'application/json' }
  const missing = (await ask(port, 'POST /things', headers, '{"name":"Bonn"}')).json()
  t.match(missing, { code: '0000401', errors: [{ path: '/size', message: '为必填项' }] })
})

t.test('plain Fastify: beside the envelope; without it errors are English', async (t) => {
  const start = async (options?: LanguagesOptions) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(envelope)
    if (options) await app.register(languages, options)
    return app
  }
  const headers = { cookie: 'lang=zh-CN' }
  const chinese = await (await start({ cookie: 'lang' })).inject({ url: '/none', headers })
  t.equal(chinese.json().message, NONE)
  const english = await (await start()).inject({ url: '/none', headers: CHINESE })
  t.match(english.json(), { message: 'Nothing answers GET /none' })
  t.notOk('vary' in english.headers)
  await t.rejects(start({ languages: { zh_CN: {} } }), {
    code: 'PLUGIN_OPTION_INVALID',
    message: /languages\.zh_CN is an object/,
  })
  await t.rejects(start({ languages: { de: 'de.json' as never } }), {
    code: 'PLUGIN_OPTION_INVALID',
  })
})

t.test('every error of the catalogue has a Chinese message, with the same placeholders', (t) => {
  const { messages = {} } = zhCn
  t.strictSame(Object.keys(messages).sort(), Object.keys(errors).sort())
  for (const [code, make] of Object.entries(errors)) {
    const message = messages[code] ?? ''
    t.equal(message.split('%s').length - 1, countOf(make as never), code)
    if (message !== '%s') t.match(message, /\p{Script=Han}/u)
  }
  t.end()
})

/** How many placeholders an error has: an argument that it has none for is put behind its message. */
function countOf(make: (...args: string[]) => Error): number {
  const told = (count: number) => make(...Array<string>(count).fill('<>')).message
  let count = 0
  while (told(count + 1) !== `${told(count)} <>`) count++
  return count
}

t.test('a phrase that fills another is told, too, and a long text is not looked at', (t) => {
  const wording = new Wording([zhCn, { phrases: { 'must be %s, or %s': '%s 或 %s' } }])
  const say = (message: string) => wording.tell(errors.CONFLICT(message)).message
  t.equal(say('must be >= 5'), '必须大于或等于 5')
  t.equal(say('must be is required, or a'), '为必填项 或 a')
  const long = `must be >= ${'9'.repeat(600)}`
  t.equal(say(long), long)
  t.equal(say('toString'), 'toString')
  t.end()
})
