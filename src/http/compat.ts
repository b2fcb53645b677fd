import { type errors, originalOf, type PlinthError } from '../errors.ts'
import { REQUIRED } from '../schema/validate.ts'
import { type Envelope, type EnvelopeName, envelopes, standardEnvelope } from './envelope.ts'

/** As which other kit a service answers. */
export type Compat =
  | 'bk'
  | {
      kind: 'bk'
      /** The first two digits of its codes; default `00`. */
      platform?: string
      /** The two digits after them; default `00`. */
      module?: string
    }

/** The error of the original, three digits, and the HTTP status that it answers it with. */
type Row = readonly [error: string, status: number]

const BY_CODE: Partial<Record<keyof typeof errors, Row>> = {
  LOCK_HELD: ['543', 500],
  DATABASE_BUSY: ['501', 500],
  DATABASE_UNAVAILABLE: ['501', 500],
  USER_UNKNOWN: ['413', 403],
  BK_PERMISSION_DENIED: ['9900403', 403],
  BK_PLATFORM_AUTH_MISSING: ['108', 500],
}

const BY_STATUS: Readonly<Record<number, Row>> = {
  401: ['425', 401],
  403: ['423', 403],
  404: ['404', 404],
  405: ['405', 405],
  423: ['433', 403],
  502: ['513', 503],
  503: ['503', 503],
}

const ERROR = /^\d{3}$/
const WHOLE = /^\d{7}$/

type Failed = Pick<PlinthError, 'code' | 'statusCode'>

/** What the original has no error for has that of all clients or all servers, and keeps its status: 412, 429, 504. */
function rowOf({ code, statusCode }: Failed): Row {
  if (ERROR.test(code) || WHOLE.test(code)) return [code, statusCode]
  const row = BY_CODE[code as keyof typeof errors] ?? BY_STATUS[statusCode]
  return row ?? [statusCode < 500 ? '400' : '500', statusCode]
}

/** The original tells what is missing from what is wrong, where it tells nothing else. */
function isMissing(error: PlinthError): boolean {
  const { code, errors } = originalOf(error)
  if (code !== 'INVALID_REQUEST' || !errors || errors.length === 0) return false
  return errors.every(({ message }) => message === REQUIRED)
}

/** The form of BlueKing's kits: codes of seven digits, each success 200. */
function bkEnvelope(platform = '00', module = '00'): Envelope {
  return {
    ...standardEnvelope,
    name: 'bk',
    successStatus: 200,
    failureStatus: (error) => rowOf(error)[1],
    failure(error, request) {
      const own = isMissing(error) ? '401' : rowOf(error)[0]
      const code = WHOLE.test(own) ? own : platform + module + own
      return { ...(standardEnvelope.failure(error, request) as object), code }
    },
  }
}

/** The form that a service or an app asks for. */
export function chooseEnvelope({
  compat,
  envelope = 'standard',
}: {
  compat?: Compat | undefined
  envelope?: EnvelopeName | Envelope | undefined
}): Envelope {
  if (typeof compat === 'object') return bkEnvelope(compat.platform, compat.module)
  if (compat) return bkEnvelope()
  return typeof envelope === 'string' ? envelopes[envelope] : envelope
}
