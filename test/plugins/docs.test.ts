import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import docs from '../../plugins/docs.ts'
import { startBrowser } from '../helpers/browser.ts'
import { createFixture } from '../openapi/fixture.ts'

const info = { title: 'Ships', version: '2.0.0' }

async function createBare(t: Test): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(docs, info)
  return app
}

t.test('describes the routes of an app that has nothing else of the kit', async (t) => {
  const app = await createBare(t)
  app.addSchema({ $id: 'ship', ...Type.Object({ name: Type.String() }) })
  app.register(
    async (ships) => {
      ships.get('/', { schema: { response: { 200: { $ref: 'ship#' } } } }, () => ({ name: 'Argo' }))
      ships.route({ method: ['PUT', 'HEAD'], url: '/:id', handler: () => null })
      ships.get('/secret', { schema: { hide: true } }, () => null)
      ships.get('/:id', { constraints: { version: '1.0.0' } }, () => null)
      ships.get('/:id', { constraints: { version: '2.0.0' } }, () => null)
    },
    { prefix: '/ships' },
  )
  const response = await app.inject('/openapi.json')
  const id = [{ in: 'path', name: 'id', required: true, schema: { type: 'string' } }]
  t.strictSame(response.json(), {
    openapi: '3.1.1',
    info,
    servers: [{ url: '/' }],
    components: {
      schemas: {
        ship: {
          type: 'object',
          required: ['name'],
          properties: { name: { type: 'string' } },
        },
      },
    },
    paths: {
      '/ships': {
        get: {
          responses: {
            200: {
              description: 'Default Response',
              content: { 'application/json': { schema: { $ref: '#/components/schemas/ship' } } },
            },
          },
        },
      },
      '/ships/{id}': {
        put: { parameters: id, responses: { 200: { description: 'Default Response' } } },
        get: { parameters: id, responses: { 200: { description: 'Default Response' } } },
      },
    },
    tags: [],
  })
})

t.test('makes the document once, and tells who has it already that it is the same', async (t) => {
  const app = await createBare(t)
  let reads = 0
  const schema = {
    get summary() {
      reads += 1
      return 'Counted'
    },
  }
  app.get('/counted', { schema }, () => null)
  const [first, second] = await Promise.all([
    app.inject('/openapi.json'),
    app.inject('/openapi.json'),
  ])
  const before = reads
  const { etag } = first.headers
  t.equal(first.headers['content-type'], 'application/json; charset=utf-8')
  t.equal(first.headers['cache-control'], 'no-cache')
  t.match(first.json().paths, { '/counted': { get: { summary: 'Counted' } } })
  t.equal(second.body, first.body)
  const headers = { 'if-none-match': `W/${etag}, "other"` }
  const third = await app.inject({ url: '/openapi.json', headers })
  t.strictSame([third.statusCode, third.body, third.headers.etag], [304, '', etag])
  t.equal(reads, before)
})

t.test('serves the page and its script from the service itself', async (t) => {
  const app = await createBare(t)
  const page = await app.inject('/docs')
  t.equal(page.statusCode, 200)
  t.equal(page.headers['content-type'], 'text/html; charset=utf-8')
  t.match(page.headers['content-security-policy'], "default-src 'none'; script-src 'self';")
  t.match(page.body, '<title>Ships</title>')
  t.notMatch(page.body, /https?:/)
  const script = await app.inject('/docs/scalar.js')
  t.equal(script.headers['content-type'], 'text/javascript; charset=utf-8')
  t.match(script.body, 'createApiReference')
  const headers = { 'if-none-match': String(script.headers.etag) }
  t.equal((await app.inject({ url: '/docs/scalar.js', headers })).statusCode, 304)
})

t.test('under a prefix the page finds what it needs, and describes what is there', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(
    async (scope) => {
      await scope.register(docs, info)
      scope.get('/ships', () => [])
    },
    { prefix: '/v1' },
  )
  app.get('/elsewhere', () => null)
  const { body } = await app.inject('/v1/docs')
  const linked = Array.from(
    body.matchAll(/(?:src=|url&quot;:&quot;|")"?(\/[\w./]+)/g),
    ([, url]) => url,
  )
  t.strictSame(linked, ['/v1/openapi.json', '/v1/docs/scalar.js'])
  for (const url of linked) t.equal((await app.inject(String(url))).statusCode, 200, String(url))
  t.strictSame(Object.keys((await app.inject('/v1/openapi.json')).json().paths), ['/v1/ships'])
})

t.test('a title is text, whatever it holds', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(docs, { title: '"</title><script>', version: '1' })
  const { body } = await app.inject('/docs')
  t.match(body, '<title>&quot;&lt;/title&gt;&lt;script&gt;</title>')
})

t.test('in a browser', async (t) => {
  // One for all: the script of the page is most of the work.
  const { page, asked, said, origin } = await openPage(t)

  await t.test('it lists the operations and asks no other host for anything', async (t) => {
    for (const name of ['Cities', 'One city', 'Add many cities', 'Health']) {
      await page.getByRole('link', { name }).first().waitFor()
    }
    t.equal(await page.title(), 'Cities & more')
    t.strictSame(asked, [`${origin}/docs`, `${origin}/docs/scalar.js`, `${origin}/openapi.json`])
    t.strictSame(said, [])
  })

  await t.test('a request is sent from it and its answer is shown', async (t) => {
    await page.getByRole('link', { name: 'One city' }).first().click()
    await page.getByRole('button', { name: /^Test Request.*get \/cities\/\{id\}/s }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('button', { name: 'Send Request' }).click()
    await dialog.getByText('"Paris"').waitFor()
    t.match(await dialog.textContent(), '200 OK')
    t.strictSame(
      asked.filter((url) => !url.startsWith(`${origin}/`)),
      [],
    )
    t.ok(asked.includes(`${origin}/cities/1`))
    t.strictSame(said, [])
  })

  await t.test('its policy keeps its script from calling out', async (t) => {
    const other = origin.replace('127.0.0.1', 'localhost')
    const call = (url: string) =>
      fetch(url).then(
        () => 'answered',
        () => 'refused',
      )
    t.equal(await page.evaluate(call, `${origin}/ping`), 'answered')
    t.equal(await page.evaluate(call, `${other}/ping`), 'refused')
    t.match(said.join('\n'), 'violates the following Content Security Policy directive')
  })
})

/** The page of a service, with each URL that the browser asked for and all that it had to say. */
async function openPage(t: Test) {
  const app = createFixture('standard')
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const browser = await startBrowser()
  t.teardown(() => browser.close())
  const page = await browser.newPage({ viewport: { width: 1400, height: 1000 } })
  page.setDefaultTimeout(120_000)
  const asked: string[] = []
  const said: string[] = []
  page.on('request', (request) => asked.push(request.url()))
  page.on('pageerror', (error) => said.push(String(error)))
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') said.push(message.text())
  })
  await page.goto(`${origin}/docs`)
  await page.getByRole('link', { name: 'One city' }).first().waitFor()
  return { page, asked, said, origin }
}
