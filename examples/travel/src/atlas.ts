import type service from 'atlas/src/service.ts'
import { createClient } from 'plinth'

/** The resources of Atlas, of which this service knows the types alone: it is another process. */
export const atlas = createClient<typeof service>({
  url: ({ config }) => config.ATLAS_URL,
  name: 'atlas',
})
