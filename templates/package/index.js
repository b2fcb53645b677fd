import { defineModel, defineModule, definePlugin, defineResource, Type } from 'plinth'

const NAME = '__NAME__'

/** After a change: npx manage makemigrations --plugin __NAME__. */
export const __PASCAL__Entry = defineModel('__SNAKE___entry', {
  columns: {
    id: Type.Integer({ minimum: 1 }),
    source: Type.String({ maxLength: 50 }),
    text: Type.String({ minLength: 1, maxLength: 200 }),
  },
  generated: ['id'],
})

/** What a use of it serves; one of another name has that before the path. */
function createModules({ name }) {
  const add = defineResource({
    summary: 'Add an entry',
    method: 'POST',
    status: 201,
    request: Type.Object({ text: __PASCAL__Entry.input.properties.text }),
    response: Type.Object({ source: Type.String() }),
    async perform({ text }, { app, db }) {
      const use = app[name]
      const { source } = use
      await db.insertInto('__SNAKE___entry').values({ source, text }).execute()
      use.added++
      return { source }
    },
  })
  return { entries: defineModule({ prefix: '/__NAME__', resources: { add } }) }
}

export const __CAMEL__ = definePlugin({
  name: NAME,
  env: Type.Object({
    __UPPER___SOURCE: Type.String({
      default: 'unknown',
      description: 'Where entries come from.',
    }),
  }),
  needs: ['database'],
  models: [__PASCAL__Entry],
  migrations: new URL('./migrations/', import.meta.url),
  seeds: new URL('./seeds/', import.meta.url),
  commands: new URL('./commands/', import.meta.url),
  modules: createModules,
  readiness: {
    [NAME]: async (app) => {
      await app.db.selectFrom('__SNAKE___entry').select('id').limit(1).execute()
    },
  },
  checks: [
    (_app, { env, production }) =>
      production && env.__UPPER___SOURCE === 'unknown'
        ? [{ level: 'warning', message: '__UPPER___SOURCE is not set' }]
        : [],
  ],
  metrics: [
    {
      name: 'added_total',
      help: 'Entries added',
      type: 'counter',
      collect: (app, { name }) => app[name].added,
    },
  ],
  // A use of another name decorates the app with that.
  decorators: [NAME],
  register(app, _options, { name, env }) {
    app.decorate(name, { source: env.__UPPER___SOURCE, added: 0 })
  },
})
