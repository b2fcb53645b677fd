import Fastify from 'fastify'
import { Type } from 'typebox'
import resources from '../../plugins/resources.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { file } from '../../src/resource/stream.ts'

// A process that has got a file of a form in that folder, says its own id, and works with the file for ever.
const [folder = ''] = process.argv.slice(2)
const form = defineResource({
  summary: 'A file in a form',
  method: 'POST',
  request: Type.Object({ note: Type.String(), content: file() }),
  upload: { folder },
  async perform() {
    console.log(process.pid)
    await new Promise(() => {})
    return null
  },
})
const app = Fastify()
await app.register(resources, {
  modules: { files: defineModule({ prefix: '', resources: { form } }) },
})
const body = new FormData()
body.append('note', 'n')
body.append('content', new File(['text'], 'a.txt'))
await fetch(await app.listen({ host: '127.0.0.1', port: 0 }), { method: 'POST', body })
