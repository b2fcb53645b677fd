import type { Envelope } from '../http/envelope.ts'
import type { SecurityInfo } from '../resource/security.ts'
import { describeRoutes } from './describe.ts'
import { anyOtherFailure, SharedFailures } from './failures.ts'
import { completeOperation } from './operation.ts'
import { type ServedOperation, securityOf } from './served.ts'
import type { Document, DocumentInfo, Operation } from './types.ts'

export interface DocumentSettings {
  info: DocumentInfo
  authentication: SecurityInfo
  /** The form of failures. */
  envelope: Envelope
  /** Whether the whole app fails in that form and echoes the request id, not only its resources. */
  enveloped: boolean
}

/** The OpenAPI 3.1 document of `operations`; where two have one method and URL, the first counts. */
export async function createDocument(
  operations: readonly ServedOperation[],
  settings: DocumentSettings,
): Promise<Document> {
  const listed = operations.filter(
    (one, i) => operations.findIndex(({ method, url }) => is(one, method, url)) === i,
  )
  const { document, find } = await describeRoutes(listed, settings)
  const { envelope, enveloped } = settings
  const failures = new SharedFailures(envelope, enveloped ? requestIdHeader : undefined)
  for (const served of listed) {
    const operation = find(served)
    if (operation) complete(operation, served, settings, failures)
  }
  if (enveloped) failures.addAnyOther()
  document.tags = listTags(listed)
  Object.assign(document.components, sharedComponents(document, settings, failures))
  return document
}

function is(operation: ServedOperation, method: string, url: string): boolean {
  return operation.method === method && operation.url === url
}

const requestIdHeader = { 'X-Request-Id': { $ref: '#/components/headers/RequestId' } }

function complete(
  operation: Operation,
  served: ServedOperation,
  { envelope, enveloped, authentication }: DocumentSettings,
  failures: SharedFailures,
): void {
  const { definition } = served.route.config ?? {}
  const { length } = securityOf(served) ?? authentication.security ?? []
  if (definition)
    completeOperation(operation, served, definition, { envelope, failures, secured: length > 0 })
  if (!enveloped) return
  for (const response of Object.values(operation.responses)) {
    if (!('$ref' in response)) response.headers = { ...response.headers, ...requestIdHeader }
  }
  operation.responses.default ??= anyOtherFailure
}

/** The tags in the order in which a reader wants them: those of resources first. */
function listTags(operations: readonly ServedOperation[]): { name: string }[] {
  const resources = operations.filter(({ route }) => route.config?.definition)
  const tags = [...resources, ...operations].flatMap(({ route }) => route.schema?.tags ?? [])
  return Array.from(new Set(tags), (name) => ({ name }))
}

/** What the operations of `document` refer to. */
function sharedComponents(
  { components }: Document,
  { envelope, enveloped }: DocumentSettings,
  { responses }: SharedFailures,
): Record<string, object> {
  return {
    ...(Object.keys(responses).length > 0 && {
      schemas: { ...components.schemas, Error: envelope.failureSchema },
      responses,
    }),
    ...(enveloped && { headers: { RequestId } }),
  }
}

const RequestId = {
  description: 'The id of the request: the one that it came with, or a new one',
  schema: { type: 'string' },
}
