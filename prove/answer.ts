/** What a process is told, and what it says to that. */
export interface Reply {
  id: number
  value?: unknown
  failed?: string
}

interface Order {
  id: number
  order: string
  value?: never
}

/** In a process that was started by children.ts: says that it is ready, and does what it is told until its parent ends. */
export function answer(orders: Readonly<Record<string, (value: never) => unknown>>): void {
  process.on('message', async ({ id, order, value }: Order) => {
    process.send?.(await reply(id, async () => orders[order]?.(value as never)))
  })
  process.on('disconnect', () => process.exit())
  process.send?.('ready')
}

async function reply(id: number, work: () => Promise<unknown>): Promise<Reply> {
  try {
    return { id, value: await work() }
  } catch (error) {
    return { id, failed: (error as Error).stack ?? String(error) }
  }
}
