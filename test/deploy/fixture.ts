import type { Test } from 'tap'
import { defineService, type ServiceDefinition } from '../../src/define-service.ts'
import { type DeployFile, type DeployOptions, planDeployment } from '../../src/deploy/plan.ts'
import { filesOf, type Target } from '../../src/deploy/targets.ts'

export const TABLE = {
  web: { command: 'manage serve --workers 2', replicas: 3, maxReplicas: 12, memory: 768 },
  worker: 'manage worker',
  mails: { command: "manage worker --queues 'a b'", cpu: 0.5 },
  release: 'manage migrate',
}

/** A service of these processes; none: what follows from it. */
export function shop(processes?: object, more: Partial<ServiceDefinition> = {}): ServiceDefinition {
  const table = processes && { processes: processes as typeof TABLE }
  return defineService({ name: 'shop', version: '1.2.0', modules: {}, ...table, ...more })
}

/** The files of a target. */
export async function write(
  t: Test,
  target: Target,
  service = shop(TABLE),
  options: DeployOptions = {},
): Promise<DeployFile[]> {
  return await filesOf(target, planDeployment(service, t.testdirName, options))
}

/** Its one file. */
export async function writeOne(...args: Parameters<typeof write>): Promise<string> {
  const [file] = await write(...args)
  return (file as DeployFile).text
}
