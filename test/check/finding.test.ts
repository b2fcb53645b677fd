import t from 'tap'
import { acceptFindings, type Finding } from '../../src/check/finding.ts'
import { found } from '../../src/findings.ts'

const fine: Finding = { check: 'app', level: 'ok', message: 'fine' }
const open: Finding = { check: 'docs', ...found('docs-open', 'open') }
const endless = (subject: string): Finding => ({
  check: 'routes',
  ...found('route-without-deadline', subject, { subject }),
})

t.test('a finding of the kit has its page, one of a plugin the name of that', async (t) => {
  const sms: Finding = { check: 'sms', level: 'warning', message: 'slow' }
  t.strictSame(acceptFindings([fine, open, sms]), [
    fine,
    { ...open, page: 'docs/checks.md#docs-open' },
    { ...sms, code: 'sms' },
  ])
})

t.test('what is accepted is ok, with the reason', async (t) => {
  const [docs, sms] = acceptFindings(
    [open, { check: 'sms', level: 'error', message: 'slow', code: 'sms-slow' }],
    { 'docs-open': 'public', 'sms-slow': 'known' },
  )
  t.match(docs, { level: 'ok', code: 'docs-open', accepted: 'public' })
  t.match(sms, { level: 'ok', code: 'sms-slow', accepted: 'known' })
})

t.test('of several with one code only that which is named', async (t) => {
  const all = acceptFindings([endless('GET /a'), endless('GET /b')], {
    'route-without-deadline:GET /a': 'a stream',
  })
  t.match(all, [{ level: 'ok', accepted: 'a stream' }, { level: 'warning' }])
  t.notOk(all[1]?.accepted)
})

t.test(
  'a code that there is not, and a reason that is none, accept nothing, and are told',
  async (t) => {
    const all = acceptFindings([open], { 'docs-opne': 'a slip', 'docs-open': '' })
    t.match(all, [
      { level: 'warning', code: 'docs-open' },
      { code: 'accept-unknown', level: 'warning', message: /docs-opne, and nothing is found/ },
      { code: 'accept-unknown', message: /docs-open without a reason/ },
    ])
    t.equal(all.length, 3)
    t.equal(acceptFindings([fine], { 'docs-open': 'elsewhere it is found' }).length, 1)
  },
)
