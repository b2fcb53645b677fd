/** What `manage check` has found. */
export interface PluginFinding {
  readonly level: 'ok' | 'warning' | 'error'
  readonly message: string
  /** Lower case words joined by `-`, the same in each release: a service accepts it by that. Default: the name of the plugin. */
  readonly code?: string
  /** Of several with one code, which: a variable, a route, a migration. */
  readonly subject?: string
  /** What to do. */
  readonly remedy?: string
}

/** What the kit finds, by code: docs/checks.md has a section for each. */
export const findings = {
  'configuration-invalid': {
    level: 'error',
    remedy: 'Set the variables as the message says; manage config shows where each comes from.',
  },
  'app-broken': {
    level: 'error',
    remedy: 'Mend what the message tells: the service does not start as it is.',
  },
  'attached-unavailable': {
    level: 'error',
    remedy: 'See that it runs, and that the service may reach it with these credentials.',
  },
  'request-costly': {
    level: 'warning',
    remedy: 'Give it maxItems or maxLength, or a pattern that reads each text in one way.',
  },
  'docs-open': {
    level: 'warning',
    remedy: 'Set DOCS=false, or say who may read it: auth: { routes: { docs: { auth: … } } }.',
  },
  'contract-open': {
    level: 'warning',
    remedy:
      'Set CONTRACT=false, or say who may read it: auth: { routes: { contract: { auth: … } } }.',
  },
  'metrics-open': {
    level: 'warning',
    remedy:
      'Set METRICS_PORT to a port that only monitoring reaches, or say who may read it: auth: { routes: { metrics: { auth: … } } }.',
  },
  'queues-open': {
    level: 'error',
    remedy:
      'Set QUEUES=false, or say who may change tasks: queues: { protect }, or auth: { routes: { queues: { auth: … } } }.',
  },
  'cors-open': {
    level: 'warning',
    remedy: 'Name the origins whose pages may call: CORS_ORIGINS=https://app.example.com.',
  },
  'auth-off': {
    level: 'warning',
    remedy: 'Give the service auth: true, which demands a decision for each resource.',
  },
  'rate-limits-off': {
    level: 'warning',
    remedy: 'Give the service rateLimits.',
  },
  'rate-limits-local': {
    level: 'warning',
    remedy: 'Set REDIS_URL.',
  },
  'trust-proxy-all': {
    level: 'warning',
    remedy: 'Name the proxies: TRUST_PROXY=10.0.0.0/8, or uniquelocal.',
  },
  'trust-proxy-none': {
    level: 'warning',
    remedy: 'Set TRUST_PROXY to the addresses of the proxies; without any accept this.',
  },
  'route-without-schema': {
    level: 'warning',
    remedy: 'Give the route a schema, or make it a resource.',
  },
  'route-without-deadline': {
    level: 'warning',
    remedy: 'Give it a timeout; accept it where it is a stream.',
  },
  'route-too-early': {
    level: 'warning',
    remedy: 'List the plugin that looks at routes before the one that adds the route.',
  },
  'user-unloaded': {
    level: 'error',
    remedy: 'Give the service loadUser, which finds a user by its id, or leave out async: true.',
  },
  'host-local': {
    level: 'warning',
    remedy: 'Set HOST=0.0.0.0, or leave it unset: in production that is its default.',
  },
  'secret-in-code': {
    level: 'error',
    remedy:
      'Take it out of the code, set it in the environment, and use another one: that is known.',
  },
  'secret-weak': {
    level: 'error',
    remedy: 'Make a long one by chance: openssl rand -hex 32.',
  },
  'database-unencrypted': {
    level: 'warning',
    remedy: 'Add ?ssl-mode=VERIFY_IDENTITY to its URL.',
  },
  'database-unverified': {
    level: 'warning',
    remedy: 'Say ssl-mode=VERIFY_IDENTITY in its URL, and give its certificate a known authority.',
  },
  'redis-unencrypted': {
    level: 'warning',
    remedy: 'Use rediss:// in its URL.',
  },
  'redis-no-password': {
    level: 'warning',
    remedy: 'Set a password there (requirepass, or ACL), and write it into its URL.',
  },
  'keys-unencrypted': {
    level: 'warning',
    remedy: 'Use https in the URL of the keys (JWT_JWKS_URL).',
  },
  'provider-unencrypted': {
    level: 'warning',
    remedy: 'Use https in the URL of the provider (OIDC_ISSUER).',
  },
  'apis-unverified': {
    level: 'warning',
    remedy:
      'Take BK_API_VERIFY_TLS=false away; NODE_EXTRA_CA_CERTS names an authority of your own.',
  },
  'tls-unverified': {
    level: 'error',
    remedy:
      'Take NODE_TLS_REJECT_UNAUTHORIZED away; NODE_EXTRA_CA_CERTS names an authority of your own.',
  },
  'database-file': {
    level: 'warning',
    remedy: 'Set DATABASE_URL to a MySQL or MariaDB that all processes reach.',
  },
  'migrations-pending': {
    level: 'error',
    remedy: 'Run manage migrate before the release serves.',
  },
  'migrations-interrupted': {
    level: 'error',
    remedy: 'Look at manage migrate status: it names the commands that end it.',
  },
  'migrations-drifted': {
    level: 'error',
    remedy:
      'Bring back the file that was applied. One that does the same is accepted by manage migrate --accept-changed NAME.',
  },
  'migrations-broken': {
    level: 'error',
    remedy: 'Mend the file that the message names.',
  },
  'migration-dangerous': {
    level: 'warning',
    remedy: 'Do it in two releases, as the message says, or accept it in the migration.',
  },
  'models-drifted': {
    level: 'warning',
    remedy: 'Run manage makemigrations, and commit what it writes.',
  },
  'database-drifted': {
    level: 'warning',
    remedy: 'Undo what was changed by hand, or say it in the models and run manage makemigrations.',
  },
  'list-unserved': {
    level: 'warning',
    remedy: 'Give the model an index that begins with these columns, or do not offer them.',
  },
  'redis-evicts': {
    level: 'error',
    remedy: 'Set maxmemory-policy noeviction there; give a cache that shall evict another Redis.',
  },
  'cache-never-evicts': {
    level: 'warning',
    remedy: 'Set maxmemory-policy allkeys-lru there.',
  },
  'redis-not-durable': {
    level: 'warning',
    remedy: 'Set appendonly yes there.',
  },
  'tasks-in-memory': {
    level: 'warning',
    remedy: 'Set REDIS_URL, or DATABASE_URL.',
  },
  'cache-in-memory': {
    level: 'warning',
    remedy: 'Set REDIS_URL.',
  },
  'tasks-orphaned': {
    level: 'warning',
    remedy: 'Declare the queue (taskQueues, task.queue), or cancel its tasks: manage tasks cancel.',
  },
  'not-production': {
    level: 'error',
    remedy: 'Run it with the environment of what is deployed: NODE_ENV=production.',
  },
  'node-unsupported': {
    level: 'warning',
    remedy: 'Use a release of Node.js with long-term support.',
  },
  'inspector-open': {
    level: 'error',
    remedy: 'Take --inspect out of NODE_OPTIONS and of the command.',
  },
  'log-verbose': {
    level: 'warning',
    remedy: 'Set LOG_LEVEL=info.',
  },
  'body-limit-large': {
    level: 'warning',
    remedy: 'Lower BODY_LIMIT, and read large uploads as streams (consumes).',
  },
  'load-shedding-off': {
    level: 'warning',
    remedy: 'Take LOAD_SHEDDING=false away.',
  },
  'security-headers-off': {
    level: 'warning',
    remedy: 'Set SECURITY_HEADERS=true.',
  },
  'drain-none': {
    level: 'warning',
    remedy: 'Leave DRAIN_DELAY unset, or set as many ms as the balancer takes to notice.',
  },
  'shutdown-killed': {
    level: 'error',
    remedy:
      'Lower DRAIN_DELAY or SHUTDOWN_TIMEOUT, or raise the grace period of the platform and say so: --grace-period.',
  },
  'shutdown-cuts': {
    level: 'warning',
    remedy:
      'Lower REQUEST_TIMEOUT, or the timeout of the resource, or raise SHUTDOWN_TIMEOUT and the grace period of the platform.',
  },
  'processes-invalid': {
    level: 'error',
    remedy: 'Mend processes of the service.',
  },
  'accept-unknown': {
    level: 'warning',
    remedy: 'Take it out of check.accept of the service, or mend how it is written.',
  },
} as const satisfies Record<string, Required<Pick<PluginFinding, 'level' | 'remedy'>>>

export type FindingCode = keyof typeof findings

/** One of the kit's. @param others what else is said of it, and another level than that of its code */
export function found(
  code: FindingCode,
  message: string,
  others: Pick<PluginFinding, 'subject'> & Partial<Pick<PluginFinding, 'level'>> = {},
): PluginFinding {
  return { ...findings[code], code, message, ...others }
}
