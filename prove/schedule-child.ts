import { createApp } from '../src/service.ts'
import { answer } from './answer.ts'
import service from './schedule-service.ts'

// A worker that adds the tasks of schedules, and runs those of another queue.
const app = await createApp(service, { logger: false })
await app.tasks.work({ queues: ['other'], concurrency: 1, schedules: true })
answer({})
