import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { ServiceContract } from '../../src/remote/contract.ts'
import { manage } from '../helpers/manage.ts'
import { BARE, writeService } from '../helpers/service.ts'

t.test('the contract is written, the same text each time', async (t) => {
  const service = writeService(t)
  const options = { service, env: BARE }
  const first = await manage(t, ['contract', 'export'], options)
  t.match(first, { code: 0, stderr: '' })
  const contract: ServiceContract = JSON.parse(first.stdout)
  t.match(contract, { contract: 1, service: 'shop' })
  t.strictSame(Object.keys(contract.resources), [
    'things.add',
    'things.list',
    'things.retrieve',
    'things.wait',
  ])
  const out = join(service, 'contract.json')
  const written = await manage(t, ['contract', 'export', '--out', out], options)
  t.match(written, { code: 0, stdout: `wrote ${out}\n` })
  t.equal(readFileSync(out, 'utf8'), first.stdout)
  const failed = await manage(t, ['contract', 'export', '--out', join(service, 'no/file')], options)
  t.match(failed, { code: 1, stdout: '', stderr: /FILE_UNWRITABLE/ })
})

t.test('what breaks callers is told, and ends with 1', async (t) => {
  const service = writeService(t)
  const { stdout } = await manage(t, ['contract', 'export'], { service, env: BARE })
  const write = (name: string, value: unknown) => {
    const file = join(service, name)
    writeFileSync(file, typeof value === 'string' ? value : JSON.stringify(value))
    return file
  }
  const contract = JSON.parse(stdout)
  const { 'things.wait': _, ...rest } = contract.resources
  const wider = structuredClone(rest)
  wider['things.add'].request.properties.name.maxLength = 5
  const clients = write('clients.json', { client: 'orders/1.2.0', uses: { shop: ['things.wait'] } })
  const before = write('old.json', stdout)
  const after = write('new.json', { ...contract, resources: wider })
  const diff = (...args: string[]) => manage(t, ['contract', 'diff', ...args], { service })
  t.strictSame(await diff(before, after, '--clients', clients), {
    code: 1,
    signal: null,
    stdout: [
      'breaking   things.add: request /name maxLength: none → 5',
      'breaking   things.wait: is not there any more (called by orders/1.2.0)',
      '',
    ].join('\n'),
    stderr: '',
  })
  t.strictSame(await diff(after, before), {
    code: 0,
    signal: null,
    stdout: [
      'compatible things.add: request /name maxLength: 5 → none',
      'compatible things.wait: is new',
      '',
    ].join('\n'),
    stderr: '',
  })
  t.match(await diff(before, before), { code: 0, stdout: 'no changes\n' })
  const json = await diff(before, after, '--json')
  t.equal(json.code, 1)
  t.strictSame(JSON.parse(json.stdout)[1], {
    level: 'breaking',
    resource: 'things.wait',
    change: 'is not there any more',
    calledBy: [],
  })
  for (const args of [
    [before],
    [before, join(service, 'none.json')],
    [before, write('broken.json', '{')],
    [before, write('other.json', { contract: 9, service: 'shop', resources: {} })],
    [before, after, '--clients', before],
  ])
    t.match(await diff(...args), { code: 2, stdout: '' }, args.join(' '))
})
