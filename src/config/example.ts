import type { TObject } from 'typebox'
import { describeDefaults, type EnvironmentDefaults } from './defaults.ts'
import { quoteValue } from './dotenv.ts'
import { describeExpected } from './expected.ts'
import type { ConfigOwner } from './join.ts'
import { type VariableSchema, variablesOf } from './secret.ts'

const HEADER = `# Copy this file to .env and set what you need.
# The environment wins over .env; what is commented out here shows the default.`

/** The text of .env.example: a section for each owner; what must be set stands uncommented, secrets are empty. */
export function renderExample(
  owners: readonly ConfigOwner[],
  defaults: EnvironmentDefaults = {},
): string {
  const sections = owners.map(({ owner, schema }) =>
    [
      `# ${owner} ${'-'.repeat(76 - owner.length)}`,
      ...variablesOf(schema).map(renderVariable(schema, defaults)),
    ].join('\n\n'),
  )
  return `${[HEADER, ...sections].join('\n\n')}\n`
}

function renderVariable({ required }: TObject, defaults: EnvironmentDefaults) {
  return ([name, variable]: [string, VariableSchema]) => {
    const needed = required?.includes(name) && !hasFallback(variable)
    const value = variable.secret ? undefined : quoteValue(String(variable.default ?? ''))
    const own = needed ? 'Required' : `Default: ${describeDefault(variable)}`
    const rule = `${own}${describeDefaults(name, variable, defaults)}`
    return [
      ...(variable.description ? [asComment(variable.description)] : []),
      asComment(`Expected: ${describeExpected(variable)}. ${rule}.`),
      `${needed ? '' : '# '}${name}=${value ?? ''}`,
    ].join('\n')
  }
}

function asComment(text: string): string {
  return text.replaceAll(/^/gm, '# ')
}

/** The variables as a Markdown table. */
export function renderTable(owners: readonly ConfigOwner[]): string {
  const rows = owners.flatMap(({ schema }) =>
    variablesOf(schema).map(([name, variable]) => [
      `\`${name}\``,
      `${variable.description ?? ''}${variable.secret ? ' Secret.' : ''}`,
      describeExpected(variable),
      schema.required?.includes(name) && !hasFallback(variable)
        ? 'required'
        : describeDefault(variable),
    ]),
  )
  return [['Variable', 'What it is', 'Expected', 'Default'], ['---', '---', '---', '---'], ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.trim().replaceAll('|', '\\|')).join(' | ')} |\n`)
    .join('')
}

function hasFallback({ default: value, derived }: VariableSchema): boolean {
  return value !== undefined || derived !== undefined
}

function describeDefault({ default: value, derived, secret }: VariableSchema): string {
  if (derived !== undefined) return derived
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return 'none'
  return secret ? 'not shown' : String(value)
}
