/** What a new service is asked. */
export interface Answers {
  /** Of the folder, the package and the service: lower case letters, digits and -. */
  readonly name: string
  readonly database: Database
  /** Results and tasks of all processes in one Redis; without one tasks are in the database. */
  readonly redis: boolean
  /** A first task, which runs each night, and a process that runs tasks. */
  readonly tasks: boolean
  readonly auth: Auth
  readonly ci: Ci
  /** A Dockerfile, and a compose.yaml with all that the service needs. */
  readonly docker: boolean
  readonly kubernetes: boolean
  /** An app_desc.yaml for a BlueKing PaaS. */
  readonly blueking: boolean
  /** What BlueKing calls the application; empty: it has nothing to do with it. */
  readonly appCode: string
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
  tasks: false,
  auth: 'none',
  ci: 'none',
  docker: false,
  kubernetes: false,
  blueking: false,
  appCode: '',
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

const APP_CODE = /^[a-z][a-z0-9_-]{2,19}$/

/** What is wrong with what BlueKing shall call the application; undefined: nothing. */
export function problemOfAppCode(code: string): string | undefined {
  return APP_CODE.test(code)
    ? undefined
    : `${JSON.stringify(code)} is no code of an application for BlueKing: 3 to 20 lower case letters, digits, - and _, the first one a letter`
}

/** Whether BlueKing knows the service, by its app code. */
export const isKnownToBlueking = ({ auth, blueking }: Partial<Answers>): boolean =>
  auth === 'bk' || blueking === true

const YES_NO = ['true', 'false'] as const
const KNOWN = {
  database: DATABASES,
  redis: YES_NO,
  tasks: YES_NO,
  auth: AUTHS,
  ci: CIS,
  docker: YES_NO,
  kubernetes: YES_NO,
  blueking: YES_NO,
  appCode: undefined,
} as const satisfies Record<keyof typeof DEFAULTS, readonly string[] | undefined>

/**
 * Adds to what is told what follows from it, and the defaults.
 *
 * @returns the answers, or what is wrong with them, in words
 */
export function settle(name: string, told: Partial<Answers>): Answers | string {
  const answers = { ...DEFAULTS, ...told, name }
  for (const key of Object.keys(KNOWN) as (keyof typeof KNOWN)[]) {
    const values: readonly string[] | undefined = KNOWN[key]
    if (values?.includes(String(answers[key])) === false)
      return `${key} is one of ${values.join(', ')}`
  }
  if (!isKnownToBlueking(answers))
    return answers.appCode === ''
      ? answers
      : 'an app code is for BlueKing: its login (auth bk), or its platform (blueking)'
  const appCode = told.appCode ?? name
  return problemOfAppCode(appCode) ?? { ...answers, appCode }
}

/**
 * Reads `database=mysql,auth=jwt`.
 *
 * @returns what is wrong with it, in words, or the answers
 */
export function readAnswers(name: string, text: string): Answers | string {
  const told: Record<string, string | boolean> = {}
  for (const part of text.split(',').filter(Boolean)) {
    const [key = '', value = ''] = part.split('=')
    if (!Object.hasOwn(KNOWN, key))
      return `${key} is no question; they are ${Object.keys(KNOWN).join(', ')}`
    const isYesNo = KNOWN[key as keyof typeof KNOWN] === YES_NO && YES_NO.includes(value as 'true')
    told[key] = isYesNo ? value === 'true' : value
  }
  return settle(name, told)
}
