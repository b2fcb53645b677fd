import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { AUTHS } from '../../src/template/answers.ts'
import { redisUrl } from '../helpers/drivers.ts'
import { MANAGE, manage, manageAlone, startManage } from '../helpers/manage.ts'
import { npmEnv, PNPM, pack, run } from '../helpers/pack.ts'
import { startOnTerminal } from '../helpers/terminal.ts'

function emptyFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'plinth-new-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

const CREATE = fileURLToPath(new URL('../../create-plinth', import.meta.url))

/** Git knows who commits. */
const GIT = {
  GIT_AUTHOR_NAME: 'Ann',
  GIT_AUTHOR_EMAIL: 'ann@example.com',
  GIT_COMMITTER_NAME: 'Ann',
  GIT_COMMITTER_EMAIL: 'ann@example.com',
}

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(
      (entry) =>
        entry.isFile() &&
        !entry.parentPath.includes('/.git/') &&
        basename(entry.parentPath) !== '.git',
    )
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()

t.test('it writes a service, once, in a repository with a first commit', async (t) => {
  const cwd = emptyFolder(t)
  const made = await manage(t, ['new', 'billing', '--yes', '--json'], { cwd, env: GIT })
  t.equal(made.code, 0, made.stderr)
  const { folder, files, committed } = JSON.parse(made.stdout)
  t.equal(folder, join(cwd, 'billing'))
  t.strictSame(files.toSorted(), filesBelow(folder))
  t.equal(committed, true)
  const git = async (...args: string[]) => (await run('git', args, { cwd: folder })).stdout
  t.equal(await git('status', '--porcelain'), '')
  t.notMatch(await git('ls-files'), /^\.env$/m, 'secrets are not in git')
  t.equal(statSync(join(folder, 'bin/manage')).mode & 0o111, 0o111)
  t.match(JSON.parse(readFileSync(join(folder, '.plinth/template.json'), 'utf8')), {
    answers: { name: 'billing', database: 'sqlite', redis: false, auth: 'none', ci: 'none' },
  })

  writeFileSync(join(folder, 'README.md'), 'ours')
  const again = await manage(t, ['new', 'billing', '--yes'], { cwd, env: GIT })
  t.match(again, { code: 1, stdout: '', stderr: /FILE_EXISTS.*billing/ })
  t.equal(readFileSync(join(folder, 'README.md'), 'utf8'), 'ours')
})

t.test('what it cannot do it says, and writes nothing', async (t) => {
  const cwd = emptyFolder(t)
  for (const name of ['Billing', 'a_b', '../out', 'plinth'])
    t.match(await manage(t, ['new', name, '--yes'], { cwd }), { code: 2, stdout: '' }, name)
  const open = await manage(t, ['new', 'billing', '--auth', 'jwt'], { cwd })
  t.match(open, {
    code: 2,
    stdout: '',
    stderr:
      /no terminal.*--yes.*--database, --redis, --tasks, --ci, --docker, --kubernetes, --blueking/s,
  })
  t.match(await manage(t, ['new', 'billing', '--auth', 'ldap', '--yes'], { cwd }), { code: 2 })
  for (const flags of [[], ['--yes']])
    t.match(await manage(t, ['new', ...flags], { cwd }), { code: 2, stdout: '', stderr: /name/ })
  for (const [flags, problem] of [
    ['--app-code billing', /for BlueKing/],
    ['--blueking --app-code 1', /"1" is no code/],
    [`--auth bk --app-code ${'x'.repeat(21)}`, /3 to 20/],
  ] as const)
    t.match(
      await manage(t, ['new', 'billing', '--yes', ...flags.split(' ')], { cwd }),
      { code: 2, stdout: '', stderr: problem },
      flags,
    )
  const long = await manage(t, ['new', 'x'.repeat(21), '--yes', '--blueking'], { cwd })
  t.match(long, { code: 2, stdout: '' }, 'its name is too long for BlueKing')
  const dry = await manage(t, ['new', 'billing', '--yes', '--dry-run'], { cwd })
  t.match(dry, { code: 0, stdout: /^would write billing\/src\/service\.ts$/m })

  writeFileSync(join(cwd, 'file'), '')
  const below = await manage(t, ['new', 'billing', '--yes', '--in', 'file/billing'], { cwd })
  t.match(below, { code: 1, stdout: '', stderr: /FILE_UNWRITABLE/ })
  t.strictSame(readdirSync(cwd), ['file'])
})

t.test('without git, or without a name for git, there is a service and no commit', async (t) => {
  const cwd = emptyFolder(t)
  const nobody = {
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_SYSTEM: '/dev/null',
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: 'user.useConfigOnly',
    GIT_CONFIG_VALUE_0: 'true',
  }
  const made = await manageAlone(t, ['new', 'one', '--yes'], { cwd, env: nobody })
  t.match(made, { code: 0, stderr: /no first commit: git commit says/ })
  const told = await manageAlone(t, ['new', 'more', '--yes', '--json'], { cwd, env: nobody })
  t.equal(JSON.parse(told.stdout).committed, false)

  mkdirSync(join(cwd, 'bin'))
  writeFileSync(join(cwd, 'bin/git'), '#!/bin/sh\nexit 127\n')
  chmodSync(join(cwd, 'bin/git'), 0o755)
  const broken = await manageAlone(t, ['new', 'two', '--yes'], {
    cwd,
    env: { PATH: `${join(cwd, 'bin')}:${process.env.PATH}` },
  })
  t.match(broken, { code: 0, stderr: /no first commit/ })
  t.ok(existsSync(join(cwd, 'two/src/service.ts')))

  await run('git', ['init', '--quiet'], { cwd })
  const inside = await manageAlone(t, ['new', 'three', '--yes'], { cwd, env: GIT })
  t.match(inside, { code: 0, stderr: /in a repository already/ })
  t.notOk(existsSync(join(cwd, 'three/.git')))
})

t.test('on a terminal it asks what is not told', async (t) => {
  const cwd = emptyFolder(t)
  const sized = 'stty cols 100 rows 40 && exec "$@"'
  const program = ['sh', '-c', sized, 'sh', process.execPath, MANAGE]
  const terminal = startOnTerminal(
    t,
    ['new', '--no-git', '--ci', 'none', '--docker', '--no-kubernetes', '--blueking'],
    {
      cwd,
      program,
    },
  )
  for (const [question, answer] of [
    [/service called/, 'As\r'],
    [/no name of a package/, '\x7f\x7fasked\r'],
    [/Which database/, '\r'],
    [/in Redis/, '\x1b[B\r'],
    [/A first task/, '\x1b[B\r'],
    [/users known/, '\x1b[B\r'],
    [/app code/, '_2\r'],
  ] as const) {
    await terminal.until('stdout', question)
    terminal.type(answer)
  }
  t.equal((await terminal.ended).code, 0)
  t.match(JSON.parse(readFileSync(join(cwd, 'asked/.plinth/template.json'), 'utf8')), {
    answers: {
      database: 'sqlite',
      redis: true,
      tasks: true,
      auth: 'jwt',
      ci: 'none',
      docker: true,
      kubernetes: false,
      blueking: true,
      appCode: 'asked_2',
    },
  })

  const left = startOnTerminal(t, ['new', 'left', '--no-git'], { cwd, program })
  await left.until('stdout', /Which database/)
  left.type('\x03')
  t.equal((await left.ended).code, 1)
  t.notOk(existsSync(join(cwd, 'left')))
})

/** What is answered by yes or no, or with one of two. */
const YES_NO = {
  database: ['sqlite', 'mysql'],
  redis: [false, true],
  tasks: [false, true],
  ci: ['none', 'github'],
  docker: [false, true],
  kubernetes: [false, true],
  blueking: [false, true],
} as const

/** Eight sets of answers in which any two answers to two questions are together. */
const SETS = AUTHS.flatMap((auth, row) =>
  [0, 1].map((half) => {
    const rest = Object.entries(YES_NO).map(([key, both], k) => [
      key,
      both[half ^ ((k >> row) & 1)],
    ])
    return { auth, ...Object.fromEntries(rest) } as Record<string, string | boolean>
  }),
)

const flagsOf = (set: Record<string, string | boolean>) =>
  Object.entries(set).flatMap(([key, answer]) =>
    typeof answer === 'string' ? [`--${key}`, answer] : answer ? [`--${key}`] : [],
  )

t.test('the sets of answers cover every two of them', async (t) => {
  const pairs = (set: Record<string, unknown>) =>
    Object.entries(set).flatMap(([a, one], i, all) =>
      all.slice(i + 1).map(([b, other]) => `${a} ${one}, ${b} ${other}`),
    )
  const [first = {}] = SETS
  const options: Record<string, readonly unknown[]> = { auth: AUTHS, ...YES_NO }
  const wanted = Object.keys(first).flatMap((a, i, all) =>
    all
      .slice(i + 1)
      .flatMap((b) =>
        options[a]?.flatMap((one) =>
          options[b]?.map((other) => pairs({ [a]: one, [b]: other })[0]),
        ),
      ),
  )
  t.strictSame([...new Set(SETS.flatMap(pairs))].sort(), [...new Set(wanted)].sort())
})

t.test(
  'each set of answers makes a service that compiles, lints, boots and passes its tests',
  async (t) => {
    const cwd = emptyFolder(t)
    const tarball = await pack(cwd)
    const make = async (name: string, ...flags: string[]) => {
      const made = await manage(
        t,
        ['new', name, '--yes', '--no-git', '--plinth', `file:../${basename(tarball)}`, ...flags],
        { cwd },
      )
      t.equal(made.code, 0, made.stderr)
      return join(cwd, name)
    }
    const all = await make(
      'all',
      '--database',
      'mysql',
      '--redis',
      '--tasks',
      '--auth',
      'jwt',
      '--ci',
      'github',
      '--docker',
      '--kubernetes',
      '--blueking',
      '--app-code',
      'all_of_it',
    )
    const install = async (folder: string, ...packages: string[]) => {
      const args = ['install', '--no-audit', '--no-fund', '--prefer-offline', ...packages]
      const { stderr } = await run('npm', args, { cwd: folder, env: npmEnv() })
      t.equal(stderr, '', 'npm warns of nothing')
    }
    await install(all)
    // Of what `manage make api` makes.
    await install(all, 'undici', 'cockatiel')

    for (const [index, set] of SETS.entries()) {
      const flags = flagsOf(set)
      await t.test(flags.join(' '), async (t) => {
        const folder = await make(`set-${index}`, ...flags)
        symlinkSync(join(all, 'node_modules'), join(folder, 'node_modules'))
        const env = {
          ...npmEnv(),
          TEST_DATABASE_URL: process.env.TEST_MYSQL_URL,
          NODE_OPTIONS: '',
        }
        const own = (script: string, ...args: string[]) =>
          run('npm', ['run', script, ...args], { cwd: folder, env, timeout: 300_000 })
        await t.resolves(own('check'), 'types and style')
        await t.resolves(own('test'), 'it starts, and its tests pass')
        const example = await run('bin/manage', ['config', '--example'], { cwd: folder, env })
        t.equal(readFileSync(join(folder, '.env.example'), 'utf8'), example.stdout, '.env.example')
        for (const target of ['docker', 'compose', 'kubernetes', 'blueking']) {
          const isThere = set[target === 'compose' ? 'docker' : target]
          if (!isThere || (target === 'compose' && !set.redis)) continue
          const deploy = await run('bin/manage', ['deploy', target], { cwd: folder, env })
          t.equal(deploy.stdout, 'no changes\n', `as manage deploy ${target}`)
        }
        if (!set.docker) return
        const compose = readFileSync(join(folder, 'compose.yaml'), 'utf8')
        const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
        for (const [scheme, client] of [
          ['mysql:', 'mysql2'],
          ['redis:', 'ioredis'],
        ] as const)
          if (compose.includes(`${scheme}//`))
            t.ok(client in dependencies, `it has ${client}, which compose.yaml wants`)
      })
    }

    await t.test('what manage make writes fits in', async (t) => {
      const folder = await make('made', '--auth', 'jwt')
      symlinkSync(join(all, 'node_modules'), join(folder, 'node_modules'))
      const env = { ...npmEnv(), NODE_OPTIONS: '' }
      const own = (program: string, ...args: string[]) => run(program, args, { cwd: folder, env })
      for (const words of [
        'module order-lines',
        'resource notes/shout',
        'task notes/remind-all',
        'model notes/tag',
        'plugin sms-gate',
        'plugin audit-trail --package',
        'command notes/export',
        'command reindex',
        'api billing',
        'seed more-notes',
        'test smoke',
      ])
        t.equal(
          (await own('bin/manage', 'make', ...words.split(' '))).stderr.match(/Warning/),
          null,
        )
      await own('bin/manage', 'makemigrations', '--name', 'more')
      await t.resolves(own('npm', 'run', 'check'), 'types and style')
      await t.resolves(own('npm', 'run', 'test'), 'its tests')
    })

    await t.test('pnpm installs, checks and tests it', async (t) => {
      const folder = await make('by-pnpm', '--redis', '--tasks', '--auth', 'jwt')
      const env = { ...npmEnv(), NODE_OPTIONS: '' }
      const pnpm = (...args: string[]) =>
        run(process.execPath, [PNPM, ...args], { cwd: folder, env, timeout: 300_000 })
      await t.resolves(pnpm('install', '--prefer-offline'))
      await t.resolves(pnpm('install', '--frozen-lockfile', '--offline'), 'from its lock file')
      t.notMatch(readFileSync(join(folder, 'pnpm-lock.yaml'), 'utf8'), /msgpackr-extract@/)
      await t.resolves(pnpm('run', 'check'), 'types and style')
      await t.resolves(pnpm('test'), 'its tests')
    })

    await t.test('npm create plinth makes the same', async (t) => {
      const creator = join(cwd, 'creator')
      mkdirSync(creator)
      await run('npm', ['pack', CREATE, '--pack-destination', cwd], { cwd, env: npmEnv() })
      const [packed = ''] = readdirSync(cwd).filter((file) => file.startsWith('create-plinth-'))
      const dependencies = {
        'create-plinth': `file:../${packed}`,
        plinth: `file:../${basename(tarball)}`,
      }
      // That of the registry is another one.
      const manifest = { private: true, dependencies, overrides: { plinth: '$plinth' } }
      writeFileSync(join(creator, 'package.json'), JSON.stringify(manifest))
      const options = { cwd: creator, env: npmEnv(), timeout: 300_000 }
      await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline'], options)
      const create = (...args: string[]) =>
        run('node_modules/.bin/create-plinth', args, options).catch((error) => error)
      t.match(await create('demo', '--yes', '--no-git'), {
        stdout: /^wrote demo\/src\/service\.ts$/m,
      })
      t.match(await create('demo', '--yes'), { code: 1, stderr: /FILE_EXISTS/ })
      t.match(await create(), { code: 2, stderr: /name/ })
    })

    await t.test('npm start serves it, with nothing but what it has installed', async (t) => {
      const folder = await make('plain')
      await install(folder)
      await run('bin/manage', ['migrate'], { cwd: folder })
      await run('bin/manage', ['seed'], { cwd: folder })
      const env = { PORT: '0', npm_config_update_notifier: 'false', NODE_OPTIONS: undefined }
      const running = startManage(t, ['start'], { cwd: folder, program: ['npm'], env })
      const [, url = ''] = await running.until('stdout', /Server listening at (http:[\d.:/]+)/)
      const get = async (path: string) => await (await fetch(`${url}${path}`)).json()
      t.match(await get('/notes?search=plants'), {
        data: { total: 1, results: [{ title: 'Water the plants' }] },
      })
      t.match(await get('/notes/count'), { data: { notes: 3 } })
      t.match(await get('/version'), { revision: 'unknown' })
      t.match(await get('/openapi.json'), { info: { title: 'plain' } })
      t.equal((await run('bin/manage', ['notes'], { cwd: folder })).stdout, '3\n')
      running.process.kill('SIGTERM')
      t.match(await running.ended, { code: 0 })
    })

    await t.test('with tokens it starts as it is made, on MySQL and Redis', async (t) => {
      const database = new URL(process.env.TEST_MYSQL_URL ?? '')
      database.pathname = `/plinth_new_${process.pid}`
      const env = {
        ...npmEnv(),
        DATABASE_URL: database.href,
        REDIS_URL: redisUrl(),
        NODE_OPTIONS: '',
      }
      const own = (...args: string[]) => run('bin/manage', args, { cwd: all, env })
      await own('db', 'create')
      t.teardown(() => own('db', 'drop', '--force'))
      await own('migrate')
      for (const target of ['docker', 'compose', 'kubernetes', 'blueking'])
        t.equal((await own('deploy', target)).stdout, 'no changes\n', `as manage deploy ${target}`)
      const checked = await own('check', '--json')
      t.strictSame(
        JSON.parse(checked.stdout).filter(({ level }: { level: string }) => level === 'error'),
        [],
      )
    })
  },
)
