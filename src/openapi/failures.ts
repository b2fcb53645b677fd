import { STATUS_CODES } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { errors, PlinthError } from '../errors.ts'
import { type Envelope, failureStatusOf } from '../http/envelope.ts'
import type { MediaType, Operation, ResponseObject, SharedResponse } from './types.ts'

/** The request that examples of answers belong to. */
export const EXAMPLE_REQUEST = {
  id: '0b0e6c2a-7a0f-4a55-9d1b-2f6f6d0c8e51',
  url: '/example',
  headers: {},
} as FastifyRequest

interface Failure {
  description: string
  example(): PlinthError
}

const wrongName = { errors: [{ path: '/name', message: 'is required' }] }

/** What resources may fail with, whatever they do, by its code. */
const FAILURES = {
  INVALID_REQUEST: {
    description: 'The request cannot be read, or does not fit: `errors` tells where',
    example: () => errors.INVALID_REQUEST.with(wrongName, 'this operation'),
  },
  UNAUTHENTICATED: {
    description: 'It needs a user, and the request has none',
    example: () => errors.UNAUTHENTICATED(),
  },
  FORBIDDEN: { description: 'The user may not do this', example: () => errors.FORBIDDEN() },
  NOT_FOUND: {
    description: 'There is no such thing',
    example: () => errors.NOT_FOUND('thing', 4711),
  },
  PRECONDITION_FAILED: {
    description: 'It is not, or no longer, in the state that the request asks for',
    example: () => errors.PRECONDITION_FAILED(),
  },
  PAYLOAD_TOO_LARGE: {
    description: 'The body is too large',
    example: () => errors.PAYLOAD_TOO_LARGE(1_048_576),
  },
  UNSUPPORTED_MEDIA_TYPE: {
    description: 'The body has a content type that is not read here',
    example: () => errors.UNSUPPORTED_MEDIA_TYPE('text/csv'),
  },
  RANGE_NOT_SATISFIABLE: {
    description:
      'There are fewer bytes than where the range begins: `Content-Range` tells how many',
    example: () => errors.RANGE_NOT_SATISFIABLE.with({ data: { size: 1234 } }, 'bytes=2000-', 1234),
  },
  TOO_MANY_REQUESTS: {
    description: 'There were too many requests: `Retry-After` tells when there is room again',
    example: () => errors.TOO_MANY_REQUESTS(),
  },
  INTERNAL: {
    description: 'The service failed; its log tells why',
    example: () => errors.INTERNAL(),
  },
  UPSTREAM_REFUSED: {
    description: 'A system that is called for this refuses it, or fails',
    example: () => errors.UPSTREAM_REFUSED('billing'),
  },
  UPSTREAM_INVALID: {
    description: 'A system that is called for this answers what was not agreed',
    example: () => errors.UPSTREAM_INVALID('billing'),
  },
  OVERLOADED: {
    description: 'There is more to do than can be done: `Retry-After` tells when to ask again',
    example: () => errors.OVERLOADED(),
  },
  DATABASE_BUSY: {
    description: 'The database cannot be used right now; try again later',
    example: () => errors.DATABASE_BUSY(5000),
  },
  UPSTREAM_UNAVAILABLE: {
    description: 'A system that is called for this cannot be used right now; try again later',
    example: () => errors.UPSTREAM_UNAVAILABLE('billing'),
  },
  DEADLINE_EXCEEDED: {
    description: 'There was no answer within the deadline',
    example: () => errors.DEADLINE_EXCEEDED(30_000),
  },
  UPSTREAM_TIMEOUT: {
    description: 'A system that is called for this has not answered in time',
    example: () => errors.UPSTREAM_TIMEOUT('billing'),
  },
  STORAGE_FULL: {
    description: 'There is no room for what was sent; try again later',
    example: () => errors.STORAGE_FULL(),
  },
} satisfies Readonly<Record<string, Failure>>

export type FailureCode = keyof typeof FAILURES

/** A reference to the shared response for every failure that has none of its own. */
export const anyOtherFailure: SharedResponse = { $ref: '#/components/responses/Failure' }

/** The responses for failures that the operations of a document share, for its `components.responses`. */
export class SharedFailures {
  readonly responses: Record<string, ResponseObject> = {}
  readonly #envelope: Envelope
  readonly #headers: ResponseObject['headers']
  readonly #names = new Map<string, string>()

  /** @param headers are sent with each */
  constructor(envelope: Envelope, headers: ResponseObject['headers']) {
    this.#envelope = envelope
    this.#headers = headers
  }

  /** Lets `operation` fail with `codes`, in one response for those of one status. */
  add({ responses }: Operation, codes: readonly FailureCode[]): void {
    const statusOf = (code: FailureCode) =>
      failureStatusOf(this.#envelope, FAILURES[code].example())
    for (const [status, some = []] of Object.entries(Object.groupBy(codes, statusOf)))
      responses[status] = { $ref: `#/components/responses/${this.#nameOf(Number(status), some)}` }
  }

  /** That for every other failure. */
  addAnyOther(): void {
    this.responses.Failure = this.#create('Any other failure', {})
  }

  #nameOf(status: number, codes: readonly FailureCode[]): string {
    const key = [status, ...codes].join(' ')
    const known = this.#names.get(key)
    if (known !== undefined) return known
    const plain = (STATUS_CODES[status] ?? `Status${status}`).replaceAll(' ', '')
    let name = plain
    for (let i = 2; name in this.responses; i++) name = `${plain}${i}`
    this.#names.set(key, name)
    this.responses[name] = this.#describe(codes)
    return name
  }

  #describe(codes: readonly FailureCode[]): ResponseObject {
    const told = codes.map((code) => {
      const { description, example } = FAILURES[code]
      const error = example()
      const value = this.#envelope.failure(error, EXAMPLE_REQUEST)
      return { code: codeIn(this.#envelope, error), description, value }
    })
    const [only, other] = told
    if (only && !other) return this.#create(only.description, { example: only.value })
    const lines = told.map(({ code, description }) => `- \`${code}\`: ${description}`)
    const examples = Object.fromEntries(told.map(({ code, value }) => [code, { value }]))
    return this.#create(lines.join('\n'), { examples })
  }

  #create(description: string, more: Pick<MediaType, 'example' | 'examples'>): ResponseObject {
    const response = createFailure(this.#envelope, description, more)
    return this.#headers ? { ...response, headers: this.#headers } : response
  }
}

type Declared = Pick<PlinthError, 'code' | 'statusCode'>

/** Responses for the errors that a resource declares, by their status. */
export function ownFailures(
  declared: readonly Declared[],
  envelope: Envelope,
): Record<number, ResponseObject> {
  const byStatus = Object.groupBy(declared, (error) => failureStatusOf(envelope, error))
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, found = []]) => {
      const codes = new Set(found.map((error) => `\`${codeIn(envelope, error)}\``))
      return [status, createFailure(envelope, [...codes].join(', '))]
    }),
  )
}

/** The code that a client reads of an error. */
function codeIn(envelope: Envelope, { code, statusCode }: Declared): string {
  const body = envelope.failure(new PlinthError(code, statusCode, ''), EXAMPLE_REQUEST)
  const read = envelope.parse(body, failureStatusOf(envelope, { code, statusCode }))
  return read?.ok === false ? read.code : code
}

function createFailure(
  envelope: Envelope,
  description: string,
  more: Pick<MediaType, 'example' | 'examples'> = {},
): ResponseObject {
  const [mediaType] = envelope.errorType.split(';', 1) as [string]
  const schema = { $ref: '#/components/schemas/Error' }
  return { description, content: { [mediaType]: { schema, ...more } } }
}
