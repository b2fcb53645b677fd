import { definePlugin, Type } from 'plinth'

/** `GET /version`: which release answers. */
export const version = definePlugin({
  name: 'version',
  env: Type.Object({
    REVISION: Type.String(__REVISION__),
  }),
  register(app, _options, { env }) {
    const revision = { revision: env.REVISION }
    // if auth
    app.get('/version', { config: { auth: 'public' } }, async () => revision)
    // end
    // if auth=none
    app.get('/version', async () => revision)
    // end
  },
})
