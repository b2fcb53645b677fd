import t from 'tap'
import { PasswordHashes } from '../../src/auth/password-hashes.ts'
import { failure } from '../helpers/app.ts'

t.test('a hash is a text that says how it was made, each with a salt of its own', async (t) => {
  const hashes = new PasswordHashes(10)
  const [one, other] = [await hashes.hash('secret'), await hashes.hash('secret')]
  t.match(one, /^\$scrypt\$ln=10,r=8,p=3\$[\w+/]{22}\$[\w+/]{43}$/)
  t.not(one, other)
  t.equal(await hashes.verify('secret', one), true)
  t.equal(await hashes.verify('Secret', one), false)
  t.equal(await hashes.verify('secret', one.replace('p=3', 'p=2')), false)
})

t.test('hashes that other programs have made are read', async (t) => {
  // As the documentation of Python's passlib has it.
  const known =
    '$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E'
  t.equal(await new PasswordHashes(10).verify('password', known), true)
})

t.test('one password is the same however its characters are composed', async (t) => {
  const hashes = new PasswordHashes(10)
  t.equal(await hashes.verify('cafe\u0301', await hashes.hash('caf\u00e9')), true)
})

t.test(
  'nobody, and a hash that cannot be read, cost the same work and are never right',
  async (t) => {
    const hashes = new PasswordHashes(10)
    for (const known of [
      undefined,
      null,
      '',
      'secret',
      '$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aA',
    ]) {
      const before = hashes.computed
      t.equal(await hashes.verify('secret', known), false)
      t.equal(hashes.computed, before + 1)
    }
  },
)

t.test('what was made with less work is weak, what with more is not', async (t) => {
  const [weak, strong] = [new PasswordHashes(10), new PasswordHashes(11)]
  t.equal(strong.isWeak(await weak.hash('secret')), true)
  t.equal(weak.isWeak(await weak.hash('secret')), false)
  t.equal(weak.isWeak(await strong.hash('secret')), false)
})

t.test('a flood is refused instead of kept; who has got in line is answered', async (t) => {
  const hashes = new PasswordHashes(10)
  const known = await hashes.hash('secret')
  const all = Array.from({ length: 70 }, () => hashes.verify('secret', known))
  t.match(await failure(all.at(-1) as Promise<boolean>), {
    code: 'AUTH_UNAVAILABLE',
    message: /too many passwords are being checked/,
  })
  const ends = await Promise.allSettled(all)
  t.equal(ends.filter((end) => end.status === 'fulfilled' && end.value).length, 66)
  t.equal(hashes.computed, 67)
  t.equal(await hashes.verify('secret', known), true, 'afterwards all is as before')
})
