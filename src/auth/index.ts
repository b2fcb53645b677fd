export { type Authenticated, Authenticator, addStrategy, type Strategy } from './authenticator.ts'
