// Apart from what writes it and what compares contracts by it: neither needs the other.
/** What was recorded of a client: which resources of which services it calls. JSON. */
export interface RecordedClient {
  /** Its name and version, `orders/1.2.0`. */
  readonly client: string
  /** The names of resources, by the names of services. */
  readonly uses: Readonly<Record<string, readonly string[]>>
}

/** The recorded client that `value` is. @throws {TypeError} where it is none */
export function asRecordedClient(value: unknown): RecordedClient {
  const { client, uses } = Object(value) as Partial<RecordedClient>
  const isTable = typeof uses === 'object' && Object.values(uses).every(Array.isArray)
  if (typeof client === 'string' && isTable) return value as RecordedClient
  throw new TypeError('it is not what was recorded of a client (REMOTE_USES)')
}
