import { STATUS_CODES } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { errors, PlinthError } from '../errors.ts'
import { type Envelope, failureStatusOf } from '../http/envelope.ts'
import type { Operation, ResponseObject, SharedResponse } from './types.ts'

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

const FAILURES: Readonly<Record<number, Failure>> = {
  400: {
    description: 'The request cannot be read, or does not fit: `errors` tells where',
    example: () => errors.INVALID_REQUEST.with(wrongName, 'this operation'),
  },
  401: {
    description: 'It needs a user, and the request has none',
    example: () => errors.UNAUTHENTICATED(),
  },
  403: { description: 'The user may not do this', example: () => errors.FORBIDDEN() },
  404: { description: 'There is no such thing', example: () => errors.NOT_FOUND('thing', 4711) },
  412: {
    description: 'It is not, or no longer, in the state that the request asks for',
    example: () => errors.PRECONDITION_FAILED(),
  },
  413: {
    description: 'The body is too large',
    example: () => errors.PAYLOAD_TOO_LARGE(1_048_576),
  },
  415: {
    description: 'The body has a content type that is not read here',
    example: () => errors.UNSUPPORTED_MEDIA_TYPE('text/csv'),
  },
  429: {
    description: 'There were too many requests: `Retry-After` tells when there is room again',
    example: () => errors.TOO_MANY_REQUESTS(),
  },
  500: {
    description: 'The service failed; its log tells why',
    example: () => errors.INTERNAL(),
  },
  503: {
    description: 'The database cannot be used right now; try again later',
    example: () => errors.DATABASE_BUSY(5000),
  },
  504: {
    description: 'There was no answer within the deadline',
    example: () => errors.DEADLINE_EXCEEDED(30_000),
  },
}

/** Refers to the shared responses for failures of `statuses`; the first counts where the form answers two with one status. */
export function addFailures(
  { responses }: Operation,
  statuses: readonly number[],
  envelope: Envelope,
): void {
  for (const status of statuses) {
    const { example } = FAILURES[status] as Failure
    responses[failureStatusOf(envelope, example())] ??= {
      $ref: `#/components/responses/${nameOf(status)}`,
    }
  }
}

/** A reference to the shared response for every failure that has none of its own. */
export const anyOtherFailure: SharedResponse = { $ref: '#/components/responses/Failure' }

/** The shared responses, for `components.responses`; `headers` are sent with each. */
export function sharedFailures(
  envelope: Envelope,
  headers: ResponseObject['headers'],
): Record<string, ResponseObject> {
  const failures = Object.entries(FAILURES).map(([status, { description, example }]) => [
    nameOf(Number(status)),
    createFailure(envelope, description, {
      headers,
      example: envelope.failure(example(), EXAMPLE_REQUEST),
    }),
  ])
  return {
    ...Object.fromEntries(failures),
    Failure: createFailure(envelope, 'Any other failure', { headers }),
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
  { headers, example }: { headers?: ResponseObject['headers'] | undefined; example?: unknown } = {},
): ResponseObject {
  const [mediaType] = envelope.errorType.split(';', 1) as [string]
  const schema = { $ref: '#/components/schemas/Error' }
  return {
    description,
    ...(headers && { headers }),
    content: { [mediaType]: { schema, ...(example !== undefined && { example }) } },
  }
}

function nameOf(status: number): string {
  return (STATUS_CODES[status] as string).replaceAll(' ', '')
}
