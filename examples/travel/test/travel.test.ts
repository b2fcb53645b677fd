import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { logLines, startServe } from '../../../test/helpers/manage.ts'
import { createAtlas } from '../../atlas/test/helper.ts'

const ATLAS = fileURLToPath(new URL('../../atlas', import.meta.url))
const TRAVEL = fileURLToPath(new URL('..', import.meta.url))

/** Atlas with a few cities, and the service that calls it: three processes with this one. */
async function startBoth(t: Test) {
  const { DATABASE_URL } = (await createAtlas(t)).config
  const atlas = await startServe(t, { service: ATLAS, env: { DATABASE_URL } })
  const env = { ATLAS_URL: atlas.url, DATABASE_URL: 'sqlite::memory:' }
  // A process that has answered nothing yet takes longer than a call may.
  await (await fetch(`${atlas.url}/contract.json`)).arrayBuffer()
  const travel = await startServe(t, { service: TRAVEL, env })
  const ask = async (path: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(travel.url + path, { headers })
    const body = (await answer.json()) as Record<string, unknown>
    return { status: answer.status, data: body.data, code: body.code, message: body.message }
  }
  return { atlas, ask }
}

t.test('one service calls another, each in a process of its own', async (t) => {
  const { atlas, ask } = await startBoth(t)
  const found = await ask('/journeys/1/stops?limit=2', { 'x-request-id': 'journey-1' })
  t.strictSame(
    [found.status, found.data],
    [
      200,
      {
        from: 'Paris',
        stops: [
          { name: 'Parthenay', km: 313 },
          { name: 'Lyon', km: 393 },
        ],
      },
    ],
  )
  t.match(await ask('/journeys/404/stops'), {
    status: 404,
    code: 'NOT_FOUND',
    message: 'There is no city 404',
  })
  await atlas.until('stdout', /"resource":"cities\.nearest"[^\n]*\n/)
  const calls = logLines(atlas.said.stdout).filter(({ request_id }) => request_id === 'journey-1')
  t.strictSame(
    calls.map(({ resource, client, status }) => [resource, client, status]),
    [
      // The contract, with the first call.
      [undefined, 'travel/0.1.0', 200],
      ['cities.retrieve', 'travel/0.1.0', 200],
      ['cities.nearest', 'travel/0.1.0', 200],
    ],
  )
  atlas.process.kill('SIGKILL')
  await atlas.ended
  t.match(await ask('/journeys/1/stops'), { status: 503, code: 'UPSTREAM_UNAVAILABLE' })
})
