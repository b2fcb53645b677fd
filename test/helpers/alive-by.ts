import { type Runtime, Session } from 'node:inspector/promises'

interface Handle {
  constructor: { name: string }
  remotePort?: number
  spawnfile?: string
}

/**
 * What keeps this process alive, a line each. It costs nothing until it is asked: the inspector knows all timers, and where
 * their functions were written.
 */
export async function aliveBy(): Promise<string[]> {
  const kinds = process.getActiveResourcesInfo().filter((kind) => kind !== 'Timeout')
  return [...(await timers()), ...handles(), `resources: ${kinds.join(', ')}`]
}

// Of what Node.js tells of itself there is no more than this, and it has no types.
function handles(): string[] {
  const active = (process as never as { _getActiveHandles(): Handle[] })._getActiveHandles()
  const own: unknown[] = [process.stdin, process.stdout, process.stderr]
  return active
    .filter((handle) => !own.includes(handle))
    .map((handle) => {
      const { remotePort, spawnfile = '' } = handle
      return `${handle.constructor.name} ${remotePort ? `to port ${remotePort}` : spawnfile}`.trim()
    })
}

async function timers(): Promise<string[]> {
  const session = new Session()
  session.connect()
  try {
    const files = new Map<string, string>()
    session.on('Debugger.scriptParsed', ({ params }) => files.set(params.scriptId, params.url))
    await session.post('Debugger.enable')
    const alive = await aliveTimers(session)
    return await Promise.all(alive.map((id) => describe(session, id, files)))
  } finally {
    session.disconnect()
  }
}

async function aliveTimers(session: Session): Promise<string[]> {
  const { result } = await session.post('Runtime.evaluate', {
    expression: 'Object.getPrototypeOf(setTimeout(() => {}, 1).unref())',
  })
  const { objects } = await session.post('Runtime.queryObjects', {
    prototypeObjectId: result.objectId as string,
  })
  const alive = await session.post('Runtime.callFunctionOn', {
    objectId: objects.objectId as string,
    functionDeclaration:
      'function () { return this.filter((timer) => !timer._destroyed && timer.hasRef()) }',
  })
  const { result: all } = await properties(session, alive.result)
  return all.flatMap(({ name, value }) => (/^\d+$/.test(name) ? (value?.objectId ?? []) : []))
}

async function describe(
  session: Session,
  objectId: string,
  files: ReadonlyMap<string, string>,
): Promise<string> {
  const { result } = await properties(session, { objectId })
  const of = (key: string) => result.find(({ name }) => name === key)?.value
  const { internalProperties } = await properties(session, of('_onTimeout'))
  const place = internalProperties?.find(({ name }) => name === '[[FunctionLocation]]')?.value
    ?.value
  const where = place ? `${files.get(place.scriptId)}:${place.lineNumber + 1}` : 'Node.js itself'
  return `timer of ${of('_idleTimeout')?.value} ms, set in ${where}`
}

function properties(
  session: Session,
  of: { objectId?: Runtime.RemoteObjectId | undefined } | undefined,
) {
  return session.post('Runtime.getProperties', {
    objectId: of?.objectId as string,
    ownProperties: true,
  })
}
