import type { Proof } from './proof.ts'

/** Every proof by its name. */
export const proofs: Readonly<Record<string, () => Promise<{ proof: Proof }>>> = {
  'migrate-race': () => import('./migrate-race.ts'),
  'migrate-kill': () => import('./migrate-kill.ts'),
  'migrate-models': () => import('./migrate-models.ts'),
}
