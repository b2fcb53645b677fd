import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { settles, within } from '../../src/task/within.ts'
import { block } from '../helpers/block.ts'

t.test('what has come while the process stood still is not too late', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [peer] = (await once(server, 'connection')) as [Socket]
  t.teardown(() => {
    client.destroy()
    server.close()
  })
  peer.write('here')
  const heard = within(20, once(client, 'data'), 'nothing came')
  block(100)
  t.equal(String((await heard)[0]), 'here')
  peer.write('again')
  const settled = settles(once(client, 'data'), 20)
  block(100)
  t.equal(await settled, true)
})

t.test('what does not come is', async (t) => {
  const never = new Promise<never>(() => {})
  await t.rejects(within(1, never, 'nothing came'), { message: 'nothing came' })
  t.equal(await settles(never, 1), false)
})
