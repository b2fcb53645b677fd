import type { KyselyPlugin, OperationNode } from 'kysely'

/** Whether flagged rows are hidden or shown; `plain`: the statement runs as it was written. */
export type Mode = 'hide' | 'show' | 'plain'

const MODE = Symbol('plinth.mode')

/** Marks the statements of a Kysely instance. */
export class ModePlugin implements KyselyPlugin {
  readonly #mode: Mode

  constructor(mode: Mode) {
    this.#mode = mode
  }

  transformQuery({ node }: Parameters<KyselyPlugin['transformQuery']>[0]) {
    return { ...node, [MODE]: this.#mode }
  }

  async transformResult({ result }: Parameters<KyselyPlugin['transformResult']>[0]) {
    return result
  }
}

/** The mode that a statement was marked with. */
export function modeOf(node: OperationNode): Mode | undefined {
  return (node as { [MODE]?: Mode })[MODE]
}
