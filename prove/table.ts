import type { Proof } from './proof.ts'

/** Every proof by its name. */
export const proofs: Readonly<Record<string, () => Promise<{ proof: Proof }>>> = {
  'migrate-race': () => import('./migrate-race.ts'),
  'migrate-kill': () => import('./migrate-kill.ts'),
  'migrate-models': () => import('./migrate-models.ts'),
  'cache-stampede': () => import('./cache-stampede.ts'),
  'cache-outage': () => import('./cache-outage.ts'),
  failover: () => import('./failover.ts'),
  'tasks-kill': () => import('./tasks-kill.ts'),
  schedule: () => import('./schedule.ts'),
  rollout: () => import('./rollout.ts'),
  faults: () => import('./faults.ts'),
  files: () => import('./files.ts'),
  client: () => import('./client.ts'),
  image: () => import('./image.ts'),
}
