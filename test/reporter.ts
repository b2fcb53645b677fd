import { Transform, type TransformCallback } from 'node:stream'

/** A file that passed, whichever process it ran in. */
const FILE = /^ *ok \d+ - \S+\.test\.ts # time=/
// What else passed: `    ok 1 - …`, `    # Subtest: …`, plans, times, empty lines.
const PASSED = /^( *(ok \d|# Subtest|1\.\.\d)| +# time|\s*$|TAP version)/

/**
 * Tap's own format, without what passed: one line for each file and everything about each failure.
 * The last line is `N passed, N failed`: tap's own counts, of assertions.
 */
export default class Reporter extends Transform {
  #rest = ''
  #counts = ''

  override _transform(chunk: unknown, _encoding: BufferEncoding, done: TransformCallback): void {
    const lines = `${this.#rest}${chunk}`.split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#take(line)
    done()
  }

  override _flush(done: TransformCallback): void {
    const count = (name: string) => new RegExp(`${name}: (\\d+)`).exec(this.#counts)?.[1] ?? 0
    if (this.#counts) this.push(`${count('pass')} passed, ${count('fail')} failed\n`)
    done()
  }

  #take(line: string): void {
    if (line.startsWith('# { total:')) this.#counts = line
    else if (FILE.test(line)) this.push(`${line.trimStart()}\n`)
    else if (!PASSED.test(line)) this.push(`${line}\n`)
  }
}
