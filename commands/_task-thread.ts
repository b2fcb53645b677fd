import { parentPort, workerData } from 'node:worker_threads'
import type { FastifyInstance } from 'fastify'
import type { ServiceDefinition } from '../src/define-service.ts'
import { importDefault } from '../src/process/load.ts'
import { ThreadedRuns } from '../src/resource/threaded-runs.ts'
import { createApp } from '../src/service.ts'
import type { ServicePlace, ToThread } from '../src/task/threads.ts'

// What a thread of a worker runs (task: { thread: true }): the app of the service, which listens nowhere and takes no tasks itself.

const { file, root } = workerData as ServicePlace
const port = parentPort
if (!port) throw new Error('this is run as a thread')

const made = open()
port.on('message', (message: ToThread) => {
  void made.then(({ app, runs }) => {
    if (message.type !== 'close') runs.take(message)
    else void app.close().finally(() => process.exit())
  })
})

async function open() {
  const service = await importDefault<ServiceDefinition>(
    file,
    'what defineService returns',
    'object',
  )
  const app = (await createApp(service, { root })) as unknown as FastifyInstance
  await app.ready()
  const { loadUser } = service
  return { app, runs: new ThreadedRuns(app, loadUser, (message) => port?.postMessage(message)) }
}
