import type { Answers } from './answers.ts'

interface Kit {
  readonly version: string
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
}

/** What every service has beside the kit. */
const ALWAYS = ['fastify', '@fastify/swagger', '@scalar/fastify-api-reference']
const BY_ANSWER = {
  mysql: ['@fastify/mysql', 'mysql2'],
  redis: ['@fastify/redis', 'ioredis', 'bullmq', '@bull-board/api', '@bull-board/fastify'],
  jwt: ['fast-jwt'],
}
const TOOLS = ['@biomejs/biome', '@types/node', 'typescript']

/**
 * The packages of a service, in the versions that the kit is tested with.
 *
 * @param plinth where the kit itself comes from: a version, or `file:` and a path
 */
export function packagesOf(answers: Answers, kit: Kit, plinth = `^${kit.version}`): object {
  const names = [
    ...ALWAYS,
    // The database of compose.yaml is a server.
    ...(answers.database === 'mysql' || answers.docker ? BY_ANSWER.mysql : []),
    ...(answers.redis ? BY_ANSWER.redis : []),
    ...(answers.auth === 'jwt' ? BY_ANSWER.jwt : []),
  ]
  const pick = (from: Readonly<Record<string, string>>, wanted: readonly string[]) =>
    wanted.map((name) => [name, from[name]] as const)
  return {
    dependencies: inOrder([...pick(kit.peerDependencies, names), ['plinth', plinth]]),
    devDependencies: inOrder([
      ...pick(kit.devDependencies, TOOLS),
      ...pick(
        kit.peerDependencies,
        answers.docker || answers.kubernetes || answers.blueking
          ? ['pino-pretty', 'yaml']
          : ['pino-pretty'],
      ),
    ]),
    // BullMQ brings it, and nothing needs it: docs/tasks.md.
    ...(answers.redis && {
      overrides: { 'msgpackr-extract': 'npm:empty-npm-package@1.0.0' },
    }),
  }
}

function inOrder(entries: readonly (readonly [string, string | undefined])[]): object {
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
