import t from 'tap'
import { processesFor } from '../../src/process/supervisor.ts'

const MB = 1024 * 1024

t.test('a process for each CPU, as far as the memory of the container goes', async (t) => {
  t.equal(processesFor(8, 0), 8, 'nobody knows how much there is')
  t.equal(processesFor(8, 2 ** 63), 8, 'there is no limit')
  t.equal(processesFor(8, 512 * MB), 2)
  t.equal(processesFor(2, 4096 * MB), 2)
  t.equal(processesFor(2, 100 * MB), 1, 'one there has to be')
})
