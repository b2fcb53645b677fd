export type { Access, AccessSettings, Asked, Auth, Permission } from '../resource/access.ts'
export {
  type AccessSamples,
  type Decision,
  defineSamples,
  type TriedCall,
  type TryOptions,
  tryOperations,
} from './access-matrix.ts'
export { type Authenticated, Authenticator, addStrategy, type Strategy } from './authenticator.ts'
export {
  and,
  definePermission,
  hasScope,
  isSuperuser,
  not,
  type OwnerOptions,
  or,
  ownerOf,
  type PermissionOptions,
} from './permission.ts'
export { type Signable, signRequest } from './signature.ts'
