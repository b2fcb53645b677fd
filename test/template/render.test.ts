import t from 'tap'
import { DEFAULTS, problemOfName, readAnswers, settle } from '../../src/template/answers.ts'
import { placeOf, render } from '../../src/template/render.ts'

const answers = { ...DEFAULTS }
const names = { NAME: 'two-words', SNAKE: 'two_words' }

t.test('lines between marks are for who has answered so', (t) => {
  const text = [
    'always __NAME__ __SNAKE__',
    '  // if auth=jwt',
    'a token',
    '  // end',
    '# if auth',
    'users',
    '# end',
    '<!-- if redis -->',
    'Redis',
    '<!-- end -->',
    'last',
  ].join('\n')
  const lines = (changed: object) => render(text, { ...answers, ...changed }, names).split('\n')
  t.strictSame(lines({}), ['always two-words two_words', 'last'])
  t.strictSame(lines({ auth: 'jwt' }).slice(1), ['a token', 'users', 'last'])
  t.strictSame(lines({ auth: 'bk', redis: true }).slice(1), ['users', 'Redis', 'last'])
  t.end()
})

t.test('a mark that is left open, or is in another, is a mistake of the template', (t) => {
  t.throws(() => render('// if redis\na', answers, names), /not closed/)
  t.throws(() => render('// if redis\n// if auth\n// end', answers, names), /in another/)
  t.end()
})

t.test('names that npm or tools take for their own are written as they should be', (t) => {
  t.equal(placeOf('dot-gitignore'), '.gitignore')
  t.equal(placeOf('dot-github/workflows/ci.yml'), '.github/workflows/ci.yml')
  t.equal(placeOf('package.json.in'), 'package.json')
  t.equal(placeOf('src/dotted.ts'), 'src/dotted.ts')
  t.end()
})

t.test('names of services', (t) => {
  for (const name of ['a', 'billing', 'bk-billing-2']) t.equal(problemOfName(name), undefined, name)
  for (const name of [
    '',
    'Billing',
    '2b',
    'a_b',
    'a--b',
    '-a',
    'a-',
    'ä',
    '../x',
    'a/b',
    'plinth',
    'x'.repeat(43),
  ])
    t.type(problemOfName(name), 'string', name)
  t.end()
})

t.test('what is told brings what it needs, and is looked at', (t) => {
  t.match(settle('shop', {}), { name: 'shop', redis: false, appCode: '' })
  t.match(settle('shop', { tasks: true }), { redis: false }, 'tasks are in the database then')
  t.match(settle('shop', { auth: 'bk' }), { appCode: 'shop' }, 'the name is its code')
  t.match(settle('shop', { blueking: true, appCode: 'bk_shop' }), { appCode: 'bk_shop' })
  for (const told of [{ appCode: 'bk_shop' }, { blueking: true, appCode: 'BK' }])
    t.type(settle('shop', told), 'string')
  t.strictSame(
    readAnswers('shop', 'database=mysql,auth=bk,tasks=true,appCode=bk_shop'),
    settle('shop', { database: 'mysql', auth: 'bk', tasks: true, appCode: 'bk_shop' }),
  )
  for (const text of ['database=oracle', 'colour=red', 'redis=yes', 'auth=bk,appCode=B'])
    t.type(readAnswers('shop', text), 'string', text)
  t.end()
})
