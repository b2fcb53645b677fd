import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createConnection } from 'mysql2/promise'
import type { Attached } from './attach.ts'
import { findProgram, versionOf } from './program.ts'
import { freePort, progress, SetupError, untilDone, untilReady } from './ready.ts'
import type { Logged, Sandbox } from './sandbox.ts'

/** Runs one statement on a connection of its own. `patience`: milliseconds, for each of the two. */
export async function execute(url: string, sql: string, patience = 60_000): Promise<void> {
  const connection = await createConnection({ uri: url, connectTimeout: patience })
  try {
    await connection.query({ sql, timeout: patience })
  } finally {
    connection.destroy()
  }
}

// Nothing here has to survive a crash. `loose-` marks what MariaDB or MySQL may not know.
const FAST = [
  '--innodb-flush-log-at-trx-commit=0',
  '--loose-innodb-flush-method=nosync',
  '--innodb-doublewrite=0',
  '--innodb-buffer-pool-size=64M',
  '--loose-innodb-log-file-size=16M',
  '--loose-innodb-use-native-aio=0',
  '--performance-schema=OFF',
  '--loose-skip-log-bin',
]

async function start(program: string, sandbox: Sandbox): Promise<string> {
  const { url, name, spawn, ready } = await prepareMysql(program, sandbox)
  progress(`starting ${name} on ${new URL(url).host}`)
  await ready(spawn())
  return url
}

/** A server that can be started, as often as it has ended. */
export async function prepareMysql(
  program: string,
  sandbox: Sandbox,
  more: readonly string[] = [],
) {
  const version = await versionOf(program)
  const brand = version.includes('MariaDB') ? 'MariaDB' : 'MySQL'
  const name = `${brand} ${/Ver (\d+\.\d+)/.exec(version)?.[1]}`
  const data = join(sandbox.folder, 'mysql')
  mkdirSync(data)
  const common = ['--no-defaults', `--datadir=${data}`, `--tmpdir=${sandbox.folder}`, ...FAST]
  if (process.getuid?.() === 0) common.push('--user=root')
  await initialize[brand](program, common, sandbox)
  const password = randomBytes(12).toString('hex')
  const port = await freePort()
  const args = [
    ...common,
    '--bind-address=127.0.0.1',
    `--port=${port}`,
    `--socket=${join(sandbox.folder, 'mysql.sock')}`,
    `--pid-file=${join(sandbox.folder, 'mysql.pid')}`,
    `--init-file=${writeGrants(password, sandbox)}`,
    '--skip-name-resolve',
    // Not UTC, so that tests see a session that relies on the server's zone.
    '--default-time-zone=+05:30',
    '--loose-mysqlx=OFF',
    ...more,
  ]
  const url = `mysql://plinth:${password}@127.0.0.1:${port}`
  return {
    name,
    url,
    spawn: () => sandbox.spawnLogged('mysql', program, args),
    ready: (server: Logged) => untilReady(name, server, () => mysql.check(url)),
  }
}

const initialize = {
  async MariaDB(_program: string, common: string[], sandbox: Sandbox) {
    const installer = findProgram(['mariadb-install-db', 'mysql_install_db'])
    if (!installer)
      throw new SetupError('MariaDB is here without its mariadb-install-db: install it')
    const args = [...common, '--skip-test-db']
    await untilDone('mariadb-install-db', sandbox.spawnLogged('mysql', installer, args))
  },

  async MySQL(program: string, common: string[], sandbox: Sandbox) {
    const args = [...common, '--initialize']
    await untilDone('mysqld --initialize', sandbox.spawnLogged('mysql', program, args))
  },
}

/** The only account that can log in over TCP. */
function writeGrants(password: string, sandbox: Sandbox): string {
  const file = join(sandbox.folder, 'grants.sql')
  const account = `'plinth'@'127.0.0.1'`
  // Also where it is started again.
  const create = `CREATE USER IF NOT EXISTS ${account} IDENTIFIED BY '${password}';`
  const grant = `GRANT ALL ON *.* TO ${account} WITH GRANT OPTION;`
  writeFileSync(file, `${create}\n${grant}\n`, { mode: 0o600 })
  return file
}

export const mysql: Attached = {
  title: 'MariaDB or MySQL',
  variable: 'TEST_MYSQL_URL',
  example: 'mysql://user:password@127.0.0.1:3306',
  programs: ['mariadbd', 'mysqld'],
  package: 'mariadb-server',
  check: (url) => execute(url, 'DO 1', 5000),
  start,
}
