import { requirePackages } from '../src/plugin-guards.ts'
import {
  type Answers,
  DEFAULTS,
  isKnownToBlueking,
  problemOfAppCode,
  problemOfName,
} from '../src/template/answers.ts'

const QUESTIONS = {
  database: {
    message: 'Which database?',
    options: [
      { value: 'sqlite', label: 'SQLite', hint: 'a file, nothing to install' },
      { value: 'mysql', label: 'MySQL or MariaDB' },
    ],
  },
  redis: {
    message: 'Cached results and tasks in Redis?',
    options: [
      { value: false, label: 'No', hint: 'in the memory of each process, and in the database' },
      { value: true, label: 'Yes' },
    ],
  },
  tasks: {
    message: 'A first task, and a process that runs tasks?',
    options: [
      { value: false, label: 'No' },
      { value: true, label: 'Yes' },
    ],
  },
  auth: {
    message: 'How are users known?',
    options: [
      { value: 'none', label: 'Not at all' },
      { value: 'jwt', label: 'By a token of a login service (JWT)' },
      { value: 'session', label: 'By name and password' },
      { value: 'bk', label: 'By the login of BlueKing' },
    ],
  },
  ci: {
    message: 'Continuous integration?',
    options: [
      { value: 'none', label: 'None' },
      { value: 'github', label: 'GitHub Actions' },
    ],
  },
  docker: {
    message: 'A Dockerfile?',
    options: [
      { value: false, label: 'No' },
      { value: true, label: 'Yes', hint: 'and a compose.yaml' },
    ],
  },
  kubernetes: {
    message: 'Manifests of Kubernetes?',
    options: [
      { value: false, label: 'No' },
      { value: true, label: 'Yes' },
    ],
  },
  blueking: {
    message: 'An app_desc.yaml for a BlueKing PaaS?',
    options: [
      { value: false, label: 'No' },
      { value: true, label: 'Yes' },
    ],
  },
} as const

/**
 * Asks on the terminal how the service is called.
 *
 * @returns undefined: it was broken off
 * @throws {PlinthError} PACKAGE_MISSING
 */
export async function askName(): Promise<string | undefined> {
  requirePackages('manage new', ['@clack/prompts'])
  const { isCancel, text } = await import('@clack/prompts')
  const name = await text({
    message: 'What is the service called?',
    placeholder: 'billing',
    validate: (value) => problemOfName(value ?? ''),
    output: process.stderr,
  })
  return isCancel(name) ? undefined : name
}

/**
 * Asks on the terminal what is not told.
 *
 * @returns what is told and what is answered; undefined: it was broken off
 * @throws {PlinthError} PACKAGE_MISSING
 */
export async function askAnswers(
  name: string,
  told: Partial<Answers>,
): Promise<Partial<Answers> | undefined> {
  requirePackages('manage new', ['@clack/prompts'])
  const { isCancel, select, text } = await import('@clack/prompts')
  const answers: Record<string, unknown> = { ...told }
  for (const key of Object.keys(QUESTIONS) as (keyof typeof QUESTIONS)[]) {
    if (key in told) continue
    const { message, options } = QUESTIONS[key]
    const answer = await select({
      message,
      options: [...options] as never,
      initialValue: DEFAULTS[key] as never,
      output: process.stderr,
    })
    if (isCancel(answer)) return undefined
    answers[key] = answer
  }
  if (isKnownToBlueking(answers) && !('appCode' in told)) {
    const appCode = await text({
      message: 'What does BlueKing call the application (its app code)?',
      initialValue: name,
      validate: (value) => problemOfAppCode(value ?? ''),
      output: process.stderr,
    })
    if (isCancel(appCode)) return undefined
    answers.appCode = appCode
  }
  return answers
}
