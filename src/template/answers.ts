/** What a new service is asked. */
export interface Answers {
  /** Of the folder, the package and the service: lower case letters, digits and -. */
  readonly name: string
  readonly database: Database
  /** Results and tasks of all processes in one Redis. */
  readonly redis: boolean
  readonly auth: Auth
  readonly ci: Ci
  /** A Dockerfile, and a compose.yaml with all that the service needs. */
  readonly docker: boolean
  readonly kubernetes: boolean
}

export const DATABASES = ['sqlite', 'mysql'] as const
export type Database = (typeof DATABASES)[number]

/** By what users are known: a JSON Web Token, a session, BlueKing's login. */
export const AUTHS = ['none', 'jwt', 'session', 'bk'] as const
export type Auth = (typeof AUTHS)[number]

export const CIS = ['none', 'github'] as const
export type Ci = (typeof CIS)[number]

/** What is not asked. */
export const DEFAULTS: Omit<Answers, 'name'> = {
  database: 'sqlite',
  redis: false,
  auth: 'none',
  ci: 'none',
  docker: false,
  kubernetes: false,
}

const NAME = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/
const LONGEST = 42
/** Whose code a service would shadow, or be. */
const TAKEN = new Set(['plinth', 'fastify', 'node', 'test'])

/** What is wrong with the name of a service, or of a package of a plugin; undefined: nothing. */
export function problemOfName(name: string): string | undefined {
  if (!NAME.test(name) || name.length > LONGEST)
    return `${JSON.stringify(name)} is no name of a package: lower case letters and digits in words joined by -, at most ${LONGEST}, the first one a letter`
  return TAKEN.has(name) ? `${name} is the name of a package that a service has` : undefined
}

const YES_NO = ['true', 'false'] as const
const KNOWN = {
  database: DATABASES,
  redis: YES_NO,
  auth: AUTHS,
  ci: CIS,
  docker: YES_NO,
  kubernetes: YES_NO,
} as const

/**
 * Reads `database=mysql,auth=jwt`.
 *
 * @returns what is wrong with it, in words, or the answers
 */
export function readAnswers(name: string, text: string): Answers | string {
  const told: Record<string, string | boolean> = {}
  for (const part of text.split(',').filter(Boolean)) {
    const [key = '', value = ''] = part.split('=')
    const values = Object.hasOwn(KNOWN, key) ? KNOWN[key as keyof typeof KNOWN] : undefined
    if (!values) return `${key} is no question; they are ${Object.keys(KNOWN).join(', ')}`
    if (!(values as readonly string[]).includes(value))
      return `${key} is one of ${values.join(', ')}`
    told[key] = values === YES_NO ? value === 'true' : value
  }
  return { name, ...DEFAULTS, ...told }
}
