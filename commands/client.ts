import { join, relative } from 'node:path'
import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import { BaseCommand } from './_base.ts'

interface ClientResult {
  /** The operations that are written. */
  operations: string[]
  left_out: { reason: string; operations: string[] }[]
  notes: string[]
  todo: string[]
  files: { path: string; state: string }[]
}

export default class Client extends BaseCommand {
  static override summary = 'Write the client of an API from its OpenAPI document'
  static override description =
    'Writes src/apis/NAME/: each operation of the document a resource, with its types. What is left out, and why, is listed on stderr. api.ts is written once and is yours; the other files are written anew each time, and not where somebody has changed one.'
  static override examples = [
    '<%= config.bin %> client billing.yaml --name billing',
    '<%= config.bin %> client https://api.example.com/openapi.json --name billing --only "invoices/*"',
    '<%= config.bin %> client github.json --name github --only "GET /repos/{owner}/{repo}" --only issues',
  ]
  static override enableJsonFlag = true
  static override args = {
    document: Args.string({
      required: true,
      description: 'a file or an http(s) address: OpenAPI 3.0 or 3.1, JSON or YAML',
    }),
  }
  static override flags = {
    name: Flags.string({
      required: true,
      description: 'what the API is called here: lower case letters, digits and -',
    }),
    only: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      delimiter: ',',
      description:
        'only these operations: an operationId, a tag, a path, or a method and a path ("GET /users/{id}"), as the document has them; * stands for anything; may be repeated, and list several with commas',
    }),
    force: Flags.boolean({ description: 'replace files that somebody has changed; never api.ts' }),
    'dry-run': Flags.boolean({ description: 'write nothing, and tell what would be written' }),
  }

  async run(): Promise<ClientResult> {
    const { args, flags } = await this.parse(Client)
    const { isName } = await import('../src/openapi/client/api-settings.ts')
    if (!isName(flags.name))
      this.error(
        `--name ${flags.name} cannot be used: it takes lower case letters, digits and -, begins with a letter, and is no word of JavaScript`,
        { exit: 2 },
      )
    const { root } = this.locate()
    const { readDocument } = await import('../src/openapi/client/document.ts')
    const { findOperations } = await import('../src/openapi/client/find-operations.ts')
    const { generateClient } = await import('../src/openapi/client/generate.ts')
    const { placeFiles } = await import('../src/openapi/client/sealed.ts')
    const document = await readDocument(args.document)
    const names: string[] = []
    const found = await this.select(findOperations(document, names), flags.only)
    const client = generateClient(document, found, flags.name)
    const files = placeFiles(client.files, join(root, 'src/apis', flags.name), flags.force)
    const written = files.filter(({ state }) => state === 'new' || state === 'changed')
    if (!flags['dry-run']) {
      const { writeFiles } = await import('../src/files.ts')
      writeFiles(written, true)
    }
    const result: ClientResult = {
      operations: [...client.operations],
      left_out: Array.from(client.leftOut, ([reason, operations]) => ({
        reason,
        operations: [...operations],
      })),
      notes: [...names, ...client.notes],
      todo: [...client.todo],
      files: files.map(({ path, state }) => ({ path: relative(process.cwd(), path), state })),
    }
    this.tell(result, flags['dry-run'])
    return result
  }

  private async select<
    F extends Parameters<typeof import('../src/openapi/client/select.ts').selectOperations>[0],
  >(found: F, only: string[] | undefined) {
    const { selectOperations } = await import('../src/openapi/client/select.ts')
    const selection = selectOperations(found, only ?? [])
    if (selection.unmatched.length === 0) return selection.found
    const tags = [...new Set(found.flatMap((one) => one.tags))].sort()
    const known = tags.length > 0 ? `; its tags are ${tags.join(', ')}` : ''
    return this.error(
      `--only ${selection.unmatched.join(', ')}: no operation is called so${known}`,
      { exit: 2 },
    )
  }

  private tell(result: ClientResult, isDry: boolean): void {
    const verb = isDry ? 'would write' : 'wrote'
    const written = result.files.filter(({ state }) => state === 'new' || state === 'changed')
    for (const { path } of written) this.log('%s %s', verb, path)
    if (written.length === 0) this.log('no changes')
    for (const { reason, operations } of result.left_out)
      this.logToStderr(`left out, ${reason}: ${shorten(operations)}`)
    for (const note of result.notes) this.logToStderr(`note: ${note}`)
    const count = result.left_out.reduce((sum, one) => sum + one.operations.length, 0)
    this.logToStderr(`${result.operations.length} operations, ${count} left out`)
    if (result.files.some(({ state }) => state === 'new'))
      for (const one of result.todo) this.logToStderr(`to do: ${one}`)
  }
}

const SHOWN = 5

function shorten(names: readonly string[]): string {
  const more = names.length - SHOWN
  return names.slice(0, SHOWN).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
