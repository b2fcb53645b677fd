import { defineService } from 'plinth'
import { __CAMEL__ } from '../../../index.js'

/** What `npx manage` in this package is for. */
export default defineService({
  name: 'test',
  modules: {},
  plugins: [__CAMEL__(), __CAMEL__({ name: 'other' })],
})
