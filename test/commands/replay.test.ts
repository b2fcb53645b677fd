import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { manage } from '../helpers/manage.ts'
import { BARE, writeService } from '../helpers/service.ts'

const THINGS = `
import { defineModule, defineResource, notFound, secret, Type } from 'plinth'

const Id = Type.Object({ id: Type.Integer(), key: Type.Optional(secret(Type.String())) })
const retrieve = defineResource({
  summary: 'One thing',
  path: '/:id',
  request: Id,
  response: Type.Object({ id: Type.Integer(), name: Type.String() }),
  log: true,
  perform: ({ id }) => (id === 1 ? { id, name: 'one' } : notFound('thing', id)),
})

export const things = defineModule({ prefix: '/things', resources: { retrieve } })
`

const line = (input: unknown, told: object) =>
  JSON.stringify({ level: 'info', resource: 'things.retrieve', input, ...told, msg: 'call' })

function create(t: Test, lines: readonly string[]) {
  const service = writeService(t, { 'src/things.ts': THINGS })
  const log = join(service, 'shop.log')
  writeFileSync(log, `${lines.join('\n')}\n`)
  const replay = (...args: string[]) =>
    manage(t, ['replay', ...args], { service, env: BARE, cwd: service })
  return { service, log, replay }
}

t.test('what the log tells is called again, and compared', async (t) => {
  const { log, replay } = create(t, [
    '{"msg":"request","path":"/things/1"}',
    'no JSON',
    line({ id: 1 }, { result: { id: 1, name: 'one' } }),
    line({ id: 2 }, { error: 'NOT_FOUND' }),
    line({ id: 1 }, { result: { id: 1, name: 'uno' } }),
    line('{"id":1......', { result: null }),
    line({ id: 1, key: '[redacted]' }, { result: null }),
  ])
  const { code, stdout } = await replay(log)
  t.equal(code, 1)
  const lines = stdout.split('\n').filter((one) => /^\w/.test(one))
  t.strictSame(lines, [
    'same       things.retrieve',
    'same       things.retrieve',
    'different  things.retrieve',
    'left out   things.retrieve: it was cut; give its resource log: { limit: 0 }',
    'left out   things.retrieve: something of it is secret',
  ])
  t.match(stdout, /was \{[\s\S]*"uno"[\s\S]*is {2}\{[\s\S]*"one"/)
})

t.test('calls become fixtures, which can be called again; none is overwritten', async (t) => {
  const { service, log, replay } = create(t, [
    line({ id: 1 }, { result: { id: 1, name: 'one' } }),
    line({ id: 2 }, { error: 'NOT_FOUND' }),
  ])
  const folder = join(service, 'calls')
  t.match(await replay(log, '--save', folder), { code: 0 })
  const [first, second] = [1, 2].map((n) => join(folder, `things.retrieve-${n}.json`))
  t.strictSame(JSON.parse(readFileSync(first as string, 'utf8')), {
    resource: 'things.retrieve',
    input: { id: 1 },
    result: { id: 1, name: 'one' },
  })
  for (const file of [first, second])
    t.match(await replay(file as string), { code: 0, stdout: 'same       things.retrieve\n' })
  writeFileSync(first as string, '{}')
  t.match(await replay(log, '--save', folder), { code: 1, stderr: /EEXIST/ })
  t.equal(readFileSync(first as string, 'utf8'), '{}')
  t.match(await replay(first as string), { code: 2, stderr: /there is no call in it/ })
  t.match(await replay('none.log'), { code: 2, stderr: /the file cannot be read: ENOENT/ })
})
