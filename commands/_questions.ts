import { requirePackages } from '../src/plugin-guards.ts'
import { type Answers, DEFAULTS } from '../src/template/answers.ts'

type Asked = Omit<Answers, 'name'>

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
      { value: false, label: 'No', hint: 'in the memory of each process' },
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
} as const

/**
 * Asks on the terminal.
 *
 * @returns undefined: it was broken off
 * @throws {PlinthError} PACKAGE_MISSING
 */
export async function askAnswers(
  keys: readonly (keyof Asked)[],
): Promise<Partial<Asked> | undefined> {
  requirePackages('manage new', ['@clack/prompts'])
  const { isCancel, select } = await import('@clack/prompts')
  const answers: Record<string, unknown> = {}
  for (const key of keys) {
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
  return answers
}
