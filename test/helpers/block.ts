const NOTHING = new Int32Array(new SharedArrayBuffer(4))

/** Keeps the event loop from turning for so many ms, as long work does, and takes no processor time of others. */
export function block(milliseconds: number): void {
  Atomics.wait(NOTHING, 0, 0, milliseconds)
}
