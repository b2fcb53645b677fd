import { Call } from '../../migration/render/print.ts'

/** A value together with the call in TypeScript that makes it. */
export class Piece<T = unknown> extends Call {
  readonly value: T

  constructor(name: string, args: readonly unknown[], value: T) {
    super(name, args)
    this.value = value
  }
}

/** Calls `fn` and remembers how: an argument may be such a piece itself. */
export function call<Args extends readonly unknown[], T>(
  name: string,
  fn: (...args: Args) => T,
  ...args: { readonly [Index in keyof Args]: Args[Index] | Piece<Args[Index]> }
): Piece<T> {
  const values = args.map((arg) => (arg instanceof Piece ? arg.value : arg)) as unknown as Args
  return new Piece(name, args, fn(...values))
}
