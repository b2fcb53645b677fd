import type { DeployFile, Plan } from './plan.ts'
import type { Process } from './processes.ts'
import { toYaml } from './yaml.ts'

/** `Dockerfile` and `.dockerignore`: one image for all processes, which serves where nothing else is said. */
export function writeDocker({ name, image, port, alive, long: [web] }: Plan): DeployFile[] {
  const command = JSON.stringify(web?.words)
  const text = `# The image of ${name}, for all of its processes.
#
#   docker build -t ${image} .
#
# From another registry: --build-arg NODE_IMAGE=registry.example.com/node:24-slim
# Packages from a private one: --secret id=npmrc,src=$HOME/.npmrc
ARG NODE_IMAGE=node:24-slim

FROM \${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc npm ci --omit=dev --no-audit --no-fund
COPY . .

FROM \${NODE_IMAGE}
# Nothing is installed here any more: whoever gets in finds no package manager.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn* /opt/yarn*
ENV NODE_ENV=production PORT=${port} PATH=/app/node_modules/.bin:$PATH
WORKDIR /app
# Of root: the process cannot change its own code.
COPY --from=build /app ./
USER 1000:1000
EXPOSE ${port}
STOPSIGNAL SIGTERM
${alive ? healthCheck(alive) : ''}# The first process of the container is Node.js itself: it gets the signals.
CMD ${command}
`
  return [
    { path: 'Dockerfile', text },
    { path: '.dockerignore', text: IGNORED },
  ]
}

function healthCheck(path: string): string {
  // What it throws is exit code 1, and so is an error that nobody listens to.
  const ask = `require('http').get({ host: '127.0.0.1', port: process.env.PORT, path: '${path}', agent: false }, (r) => { r.resume(); if (r.statusCode !== 200) throw new Error(r.statusCode) })`
  return `HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["node", "-e", ${JSON.stringify(ask)}]
`
}

const IGNORED = `# What an image does not need, or may not have: secrets, and what is built in it anew.
.git
.github
.env
.env.*
!.env.example
**/node_modules
**/*.log
**/.DS_Store
.tap
coverage
data
deploy
test
Dockerfile
.dockerignore
compose*.yaml
`

/** `compose.yaml`: all processes on one machine, with a database and a Redis where the service uses them. */
export async function writeCompose(plan: Plan): Promise<DeployFile[]> {
  const { name, image, port, stop, long, release, hasDatabase, hasRedis } = plan
  const environment = {
    ...(hasDatabase && {
      DATABASE_URL: `mysql://${name}:$\{DATABASE_PASSWORD}@database:3306/${name}`,
    }),
    ...(hasRedis && { REDIS_URL: 'redis://redis:6379' }),
  }
  const healthy = { condition: 'service_healthy' }
  const backing = {
    ...(hasDatabase && { database: healthy }),
    ...(hasRedis && { redis: healthy }),
  }
  const common = {
    image,
    build: '.',
    ...(Object.keys(environment).length > 0 && { environment }),
    read_only: true,
    tmpfs: ['/tmp'],
    cap_drop: ['ALL'],
    security_opt: ['no-new-privileges:true'],
  }
  const stays = (process: Process) => ({
    ...common,
    command: [...process.words],
    depends_on: {
      ...backing,
      ...(release && { release: { condition: 'service_completed_successfully' } }),
    },
    ...(process.name === 'web'
      ? { ports: [`${port}:${port}`] }
      : { healthcheck: { disable: true } }),
    restart: 'unless-stopped',
    stop_grace_period: `${stop}s`,
    deploy: {
      ...(process.name !== 'web' && { replicas: process.replicas }),
      resources: { limits: { cpus: String(process.cpu), memory: `${process.memory}M` } },
    },
  })
  const services = {
    ...Object.fromEntries(long.map((process) => [process.name, stays(process)])),
    ...(release && {
      release: {
        ...common,
        command: [...release.words],
        depends_on: backing,
        healthcheck: { disable: true },
        restart: 'no',
      },
    }),
    ...(hasDatabase && { database: database(name) }),
    ...(hasRedis && { redis }),
  }
  const volumes = { ...(hasDatabase && { database: {} }), ...(hasRedis && { redis: {} }) }
  const document = {
    services,
    ...(Object.keys(volumes).length > 0 && { volumes }),
  }
  return [{ path: 'compose.yaml', text: await toYaml([document]) }]
}

function database(name: string): object {
  return {
    image: 'mariadb:11.8',
    environment: {
      MARIADB_DATABASE: name,
      MARIADB_USER: name,
      MARIADB_PASSWORD: `\${DATABASE_PASSWORD:?set it in .env, of letters and digits}`,
      MARIADB_RANDOM_ROOT_PASSWORD: '1',
    },
    healthcheck: {
      test: ['CMD', 'healthcheck.sh', '--connect', '--innodb_initialized'],
      interval: '5s',
      retries: 20,
    },
    volumes: ['database:/var/lib/mysql'],
    restart: 'unless-stopped',
  }
}

const redis = {
  image: 'redis:8',
  // What waits in it is kept: nothing is evicted, and each change is written down.
  command: ['redis-server', '--maxmemory-policy', 'noeviction', '--appendonly', 'yes'],
  healthcheck: { test: ['CMD', 'redis-cli', 'ping'], interval: '5s', retries: 20 },
  volumes: ['redis:/data'],
  restart: 'unless-stopped',
}
