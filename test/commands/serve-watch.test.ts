import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startManage, startServe } from '../helpers/manage.ts'
import { isListening, poll } from '../helpers/network.ts'
import { BARE, THINGS, writeService } from '../helpers/service.ts'
import { freePort } from '../servers/ready.ts'

t.test(
  '--watch starts again on a change, also after a mistake, and ends without a rest',
  async (t) => {
    const service = writeService(t)
    const port = await freePort()
    const running = startManage(t, ['serve', '--watch', '--port', String(port)], {
      service,
      env: BARE,
    })
    const isNamed = (name: string) => async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/things`)
      return (await answer.text()).includes(`"${name}"`)
    }
    // Node.js may miss a change that comes while it is still starting again: who wrote it saves once more.
    const save = async (text: string, isSeen: () => Promise<boolean>) => {
      for (let tries = 0; tries < 6; tries++) {
        writeFileSync(join(service, 'src/things.ts'), text)
        // A process that starts is ended by the next change: a slow one needs more time between two.
        if (await poll(isSeen, 5000 * 2 ** tries).catch(() => false)) return
      }
      throw new Error('6 changes were not seen')
    }

    await poll(isNamed('one'))
    await save(THINGS.replaceAll("'one'", "'two'"), isNamed('two'))
    await save(`const = 1\n${THINGS}`, async () => /things\.ts:1\)\n/.test(running.said.stderr))
    await save(THINGS.replaceAll("'one'", "'three'"), isNamed('three'))

    running.process.kill('SIGTERM')
    t.match(await running.ended, { code: 0, signal: null })
    t.notOk(await isListening(port))
    t.throws(() => process.kill(-(running.process.pid as number), 0), { code: 'ESRCH' })
  },
)

t.test(
  'a request that waits does not hold it up; another process waits for its turn',
  async (t) => {
    const service = writeService(t)
    const env = { ...BARE, GATE: join(service, 'never'), REQUEST_TIMEOUT: '600000' }
    const running = await startServe(t, { service, env, args: ['--watch', '--port', '0'] })
    const answer = fetch(`${running.url}/things/wait`).catch(() => 'cut off')
    await running.until('stdout', /"msg":"waiting"/)
    const states = async () => {
      running.said.stdout = ''
      running.process.kill('SIGUSR2')
      const [line] = await running.until('stdout', /.*"msg":"state".*/)
      return JSON.parse(line).workers.map(({ state }: { state: string }) => state)
    }
    await poll(async () => (await states()).join() === 'serving,waiting')
    running.said.stdout = ''
    writeFileSync(join(service, 'src/things.ts'), THINGS.replaceAll("'one'", "'two'"))
    t.equal(await answer, 'cut off')
    const [, url] = await running.until('stdout', /Server listening at (http:[^"]+)"/)
    t.match(await (await fetch(`${url}/things/1`)).json(), { data: { name: 'two' } })
    running.process.kill('SIGTERM')
    t.match(await running.ended, { code: 0, signal: null })
  },
)

t.test('what the system does not start keeps nothing from ending', async (t) => {
  const service = writeService(t)
  const args = ['--watch', '--port', '0']
  const running = await startServe(t, { service, env: BARE, args, cwd: service })
  // Nothing can be started in a folder that is gone.
  rmSync(service, { recursive: true })
  await running.until('stdout', /"msg":"a new process does not start/)
  running.process.kill('SIGTERM')
  t.match(await running.ended, { signal: null })
})

for (const signal of ['SIGKILL', 'SIGQUIT', 'SIGHUP'] as const) {
  t.test(`--watch leaves no server behind when ${signal} ends it`, async (t) => {
    const service = writeService(t)
    const args = ['--watch', '--port', '0']
    const running = await startServe(t, { service, env: BARE, args })
    running.process.kill(signal)
    // The server holds stdout open for as long as it runs.
    t.match((await running.ended).stdout, /"msg":"the process ends"/)
  })
}
