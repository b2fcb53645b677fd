import Fastify from 'fastify'
import t from 'tap'

const TIME = "milliseconds, or a text like '30s' (ms, s, m, h, d), from 0"
const TIMER = `${TIME}, 2147483647 ms at most`
const FORM = 'expected standard or problem, or a value with success, failure and parse'

/** What is told of options that are missing or wrong: by plugin, the options and the sentence about them. */
const wrong: Record<string, [options: unknown, told: string][]> = {
  admin: [
    [undefined, 'models is missing, expected a list of models that defineModel has made'],
    [{ models: [], title: '' }, 'title is empty, expected a text'],
    [
      { models: [], tables: { city: {} } },
      'tables.city is an object, expected false or an object, by a table of models',
    ],
    [
      { models: [], protected: true },
      'permissions is missing, expected in production: who may, isSuperuser',
    ],
  ],
  cache: [
    [{ maxBytes: '1' }, 'maxBytes is another text, expected a number of at least 0'],
    [{ maxEntries: -1 }, 'maxEntries is -1, expected a number of at least 0'],
    [{ prefix: 5 }, 'prefix is 5, expected a text'],
    [{ commandTimeout: null }, `commandTimeout is null, expected ${TIMER}`],
  ],
  config: [
    [{ config: 'PORT=1' }, 'config is another text, expected an object'],
    [{ owners: {} }, OWNERS('an object')],
    [{ owners: [{ owner: 'shop' }] }, OWNERS('a list')],
    [{ env: [] }, 'env is a list, expected an object'],
    [{ dotenv: true }, 'dotenv is true, expected a path or false'],
  ],
  database: [
    [undefined, 'url is missing, expected a text'],
    [{ uri: 'sqlite::memory:' }, 'url is missing, expected a text'],
    [{ url: '' }, 'url is empty, expected a text'],
    [{ url: new URL('mysql://a:secret@b/c') }, 'url is an object, expected a text'],
    [{ url: 'sqlite::memory:', decorator: 1 }, 'decorator is 1, expected a text'],
    [{ url: 'sqlite::memory:', root: false }, 'root is false, expected a text'],
    [
      { url: 'sqlite::memory:', models: [{}] },
      'models is a list, expected a list of models that defineModel has made',
    ],
    [{ url: 'sqlite::memory:', actor: 'me' }, 'actor is another text, expected a function'],
    [{ url: 'sqlite::memory:', poolSize: 0 }, 'poolSize is 0, expected an integer of at least 1'],
    [{ url: 'sqlite::memory:', queryTimeout: NaN }, `queryTimeout is NaN, expected ${TIMER}`],
  ],
  deadline: [
    [undefined, `timeout is missing, expected ${TIMER}`],
    [{ timeout: '5 s' }, `timeout is another text, expected ${TIMER}`],
  ],
  developer: [
    [{ title: '' }, 'title is empty, expected a text'],
    [{ hosts: 'dev.internal' }, 'hosts is another text, expected a list of texts'],
    [{ path: '/dev' }, 'path is not known, expected one of title, version, variables, hosts'],
  ],
  docs: [
    [undefined, 'title is missing, expected a text'],
    [{ title: 'ships' }, 'version is missing, expected a text'],
    [{ title: 'ships', version: 1 }, 'version is 1, expected a text'],
  ],
  envelope: [
    [{ envelope: 'soap' }, `envelope is another text, ${FORM}`],
    [{ envelope: 'toString' }, `envelope is another text, ${FORM}`],
    [{ envelope: { success: () => 1 } }, `envelope is an object, ${FORM}`],
  ],
  health: [
    [{ timeout: () => 1 }, `timeout is a function, expected ${TIMER}`],
    [{ pingg: false }, 'pingg is not known, expected one of timeout, ping, healthz, readyz'],
    [{ prefix: '/x' }, 'prefix is not known, expected one of timeout, ping, healthz, readyz'],
  ],
  'load-shedding': [
    [{ maxEventLoopDelay: '1' }, `maxEventLoopDelay is another text, expected ${TIME}`],
    [{ limit: 5 }, 'limit is not known, expected one of maxEventLoopDelay'],
  ],
  redis: [
    [undefined, 'url is missing, expected a text'],
    [{ url: { host: 'a' } }, 'url is an object, expected a text'],
    [
      { url: 'redis://a', commandTimeout: '1' },
      `commandTimeout is another text, expected ${TIMER}`,
    ],
  ],
  resources: [
    [undefined, 'modules is missing, expected an object'],
    [{ modules: [] }, 'modules is a list, expected an object'],
    [{ modules: { a: {} } }, 'modules.a is an object, expected a module by defineModule'],
    [{ modules: { a: () => {} } }, 'modules.a is a function, expected a module by defineModule'],
    [{ modules: {}, strict: 'yes' }, 'strict is another text, expected true or false'],
  ],
  tasks: [
    [{ concurrency: 1.5 }, 'concurrency is 1.5, expected an integer of at least 1'],
    [{ limits: 5 }, 'limits is 5, expected an object'],
  ],
  telemetry: [
    [{ metrics: 'yes' }, 'metrics is another text, expected true or false'],
    [{ path: 'metrics' }, "path is another text, expected a path, '/jobs', or false"],
    [{ onError: {} }, 'onError is an object, expected a function'],
    [
      { tracing: { endpoint: 'localhost' } },
      'tracing.endpoint is another text, expected http://localhost:4318/v1/traces',
    ],
    [
      { tracing: { endpoint: 'http://a', compression: 'zip' } },
      'tracing.compression is another text, expected gzip or none',
    ],
    [
      { tracing: { endpoint: 'http://a', sampler: 'some' } },
      'tracing.sampler is another text, expected one of always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio',
    ],
    [
      { tracing: { endpoint: 'http://a', ratio: 2 } },
      'tracing.ratio is 2, expected a number from 0 to 1',
    ],
  ],
}

function OWNERS(got: string): string {
  return `owners is ${got}, expected a list of { owner, schema }, the schema by Type.Object`
}

for (const [name, cases] of Object.entries(wrong)) {
  t.test(
    `${name} names the option that is missing or wrong, wherever it is registered`,
    async (t) => {
      const { default: plugin } = await import(`../../plugins/${name}.ts`)
      for (const [options, told] of cases) {
        const expected = {
          name: 'PlinthError',
          code: 'PLUGIN_OPTION_INVALID',
          message: `plinth/plugins/${name} cannot be registered: its option ${told}`,
        }
        const app = Fastify()
        t.teardown(() => app.close())
        await t.rejects(Promise.resolve(app.register(plugin, options as never)), expected)
        const other = Fastify()
        t.teardown(() => other.close())
        other.register(async (scope) => void scope.register(plugin, options as never))
        await t.rejects(Promise.resolve(other.ready()), expected)
      }
    },
  )
}

t.test('queues look at their options before they ask for protection', async (t) => {
  const { default: queues } = await import('../../plugins/queues.ts')
  const { default: redis } = await import('../../plugins/redis.ts')
  const { default: tasks } = await import('../../plugins/tasks.ts')
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(redis, { url: 'redis://127.0.0.1:1' })
  app.register(tasks)
  app.register(queues, { protect: true as never })
  await t.rejects(Promise.resolve(app.ready()), {
    code: 'PLUGIN_OPTION_INVALID',
    message:
      'plinth/plugins/queues cannot be registered: its option protect is true, expected a function',
  })
})
