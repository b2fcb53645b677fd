import { defineApi, Type } from 'plinth'

/** Its resources are listed in a module, and called by the resources of this service. */
export const __CAMEL__ = defineApi({
  name: '__NAME__',
  baseUrl: 'https://__NAME__.example.com',
})

export const get__PASCAL__ = __CAMEL__.resource({
  summary: 'One of __NAME__',
  path: '/items/{id}',
  request: Type.Object({ id: Type.Integer() }),
  response: Type.Object({ id: Type.Integer(), name: Type.String() }),
})
