import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startManage } from '../helpers/manage.ts'
import { freePort, isListening, poll } from '../helpers/network.ts'
import { BARE, writeService } from '../helpers/service.ts'

t.test(
  '--watch starts again on a change, also after a mistake, and ends without a rest',
  async (t) => {
    const service = writeService(t)
    const port = await freePort(t)
    const things = join(service, 'src/things.ts')
    const running = startManage(t, ['serve', '--watch', '--port', String(port)], {
      service,
      env: BARE,
    })
    const name = async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/things`)
      return ((await answer.json()) as { data: { name: string }[] }).data[0]?.name
    }
    const change = (from: string, to: string) =>
      writeFileSync(things, readFileSync(things, 'utf8').replaceAll(from, to))

    await poll(async () => (await name()) === 'one')
    change("'one'", "'two'")
    await poll(async () => (await name()) === 'two')
    change("'two'", "'two")
    await running.until('stderr', /things\.ts:\d+\)\n/)
    change("'two", "'three'")
    await poll(async () => (await name()) === 'three')

    running.process.kill('SIGTERM')
    t.match(await running.ended, { code: 0, signal: null })
    t.notOk(await isListening(port))
    t.throws(() => process.kill(-(running.process.pid as number), 0), { code: 'ESRCH' })
  },
)
