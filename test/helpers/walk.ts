import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { kit } from '../../src/process/kit.ts'
import { type Example, narrow, readConsole, toPattern, toSource } from './console.ts'
import { type Running, startManage } from './manage.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const MODULES = join(ROOT, 'node_modules')
const CREATE = join(ROOT, 'create-plinth/index.js')
/** Where the pages have their service. */
const TOLD_URL = 'http://127.0.0.1:8000'
/** What goes on until it is stopped. */
const STAYS = /^(npm start|npm run (dev|worker)|bin\/manage (serve|worker))\b/

/** A fenced block of a page. */
export interface Block {
  readonly language: string
  readonly text: string
}

/** The blocks of a page, in their order. @param heading of the one section that is meant, as it is written */
export function blocksOf(page: string, heading?: string): Block[] {
  const sections = page.split(/^(?=## )/m)
  const text = heading ? sections.filter((one) => one.startsWith(`## ${heading}\n`)).join('') : page
  return Array.from(
    text.matchAll(/^```(\S*)\n([\s\S]*?)^```$/gm),
    ([, language = '', text = '']) => ({
      language,
      text,
    }),
  )
}

export interface WalkOptions {
  /** Where the reader begins. */
  folder: string
  /** What variables that a page exports are here. */
  given?: Record<string, string>
}

/**
 * Does what a page says, block by block, as its reader would: `ts` and what else names a file in its first line is written,
 * `diff` changes a file, `console` is typed and printed, `log` is what the process that was started last says at some time.
 * `npm install` takes what this repository has: test/commands/new.test.ts asks the registry.
 */
export async function walk(
  t: Test,
  blocks: readonly Block[],
  { folder, given = {} }: WalkOptions,
): Promise<void> {
  const reader = new Reader(t, folder, given)
  for (const block of blocks) await reader.read(block)
  await reader.end()
}

class Reader {
  readonly #t: Test
  readonly #given: Record<string, string>
  readonly #env: Record<string, string>
  /** What goes on, by what it is; one that serves with `npm run dev` rests while files change. */
  readonly #running = new Map<'web' | 'worker', { line: string; running?: Running | undefined }>()
  #last: Running | undefined
  #url = ''
  #cwd: string

  constructor(t: Test, folder: string, given: Record<string, string>) {
    this.#t = t
    this.#given = given
    this.#cwd = folder
    this.#env = {
      PATH: writePrograms(folder) + delimiter + process.env.PATH,
      HOST: '127.0.0.1',
      PORT: '0',
      // Nobody has to notice.
      DRAIN_DELAY: '0',
      // A busy machine is late by itself.
      LOAD_SHEDDING: 'false',
      NO_COLOR: '1',
      npm_config_update_notifier: 'false',
    }
  }

  async read({ language, text }: Block): Promise<void> {
    if (language === 'console') for (const example of readConsole(text)) await this.#type(example)
    else if (language === 'log') await this.#hear(text)
    else if (language === 'diff') await this.#change(text)
    else await this.#write(text)
  }

  /** Stops all that goes on; each has to end in order. */
  async end(): Promise<void> {
    for (const kind of this.#running.keys()) await this.#stop(kind)
  }

  async #write(text: string): Promise<void> {
    const [, path, content = ''] = /^(?:\/\/|#) (\S+)\n([\s\S]*)$/.exec(text) ?? []
    if (path === undefined) throw new Error(`a block that nobody does anything with:\n${text}`)
    await this.#rest()
    const file = join(this.#cwd, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content)
  }

  async #change(text: string): Promise<void> {
    const [, path = '', body = ''] = /^--- (\S+)\n([\s\S]*)\n$/.exec(text) ?? []
    await this.#rest()
    const without = (sign: string) =>
      body
        .split('\n')
        .filter((line) => !line.startsWith(sign))
        .map((line) => line.slice(1))
        .join('\n')
    const file = join(this.#cwd, path)
    const parts = readFileSync(file, 'utf8').split(without('+'))
    if (parts.length !== 2) throw new Error(`${path} has this ${parts.length - 1} times:\n${body}`)
    writeFileSync(file, parts.join(without('-')))
  }

  async #type({ line, code, output }: Example): Promise<void> {
    if (line.startsWith('cd ')) this.#cwd = resolve(this.#cwd, line.slice(3))
    else if (line.startsWith('export ')) await this.#export(line)
    else if (line.startsWith('npm install')) this.#install(line)
    else if (STAYS.test(line)) await this.#start(line)
    else {
      await (line.startsWith('curl ') ? this.#serve() : this.#rest())
      const typed = line.replace(
        /^npm create plinth (.*)$/,
        (_, rest: string) => `node '${CREATE}' ${rest.replace(' -- ', ' ')}`,
      )
      const ended = await this.#shell(typed).ended
      this.#t.equal(ended.code, code, `${line}\n${ended.stdout}${ended.stderr}`)
      if (output !== undefined) this.#t.match(narrow(ended.stdout), toPattern(output), line)
    }
  }

  /** Something that the process which was started last says. */
  async #hear(text: string): Promise<void> {
    for (const line of text.trimEnd().split('\n')) {
      const said = line.replaceAll(TOLD_URL, this.#url)
      this.#t.ok(await this.#last?.until('stdout', new RegExp(toSource(said))), line)
    }
  }

  async #export(line: string): Promise<void> {
    const { code, stdout, stderr } = await this.#shell(`${line}\nenv -0`).ended
    this.#t.equal(code, 0, `${line}\n${stderr}`)
    const pairs = stdout.split('\0').map((pair) => pair.split(/=([\s\S]*)/, 2))
    const values = Object.fromEntries(pairs)
    for (const [, name = ''] of line.matchAll(/\s([A-Z_]+)=/g))
      this.#env[name] = this.#given[name] ?? values[name]
  }

  #install(line: string): void {
    const peers = kit().peerDependencies as Record<string, string>
    const names = line.split(' ').slice(2)
    for (const name of names.filter((one) => !one.startsWith('-')))
      if (!(name in peers)) throw new Error(`${line}: ${name} is nothing that the kit asks for`)
    const modules = join(this.#cwd, 'node_modules')
    if (!existsSync(modules)) symlinkSync(MODULES, modules)
  }

  async #start(line: string): Promise<void> {
    const kind = line.includes('worker') ? 'worker' : 'web'
    await this.#stop(kind)
    // The signal is for it, not for a shell before it.
    const running = this.#shell(`exec ${line}`)
    const begun = kind === 'web' ? /Server listening at (http:[^"]+)"/ : /working on tasks/
    const [, url] = await running.until('stdout', begun)
    this.#url = url ?? this.#url
    this.#last = running
    this.#running.set(kind, { line, running })
  }

  async #stop(kind: 'web' | 'worker'): Promise<void> {
    const { line = '', running } = this.#running.get(kind) ?? {}
    if (!running) return
    running.process.kill('SIGTERM')
    this.#t.match(await running.ended, { code: 0 }, `${line} ends in order`)
    this.#running.set(kind, { line })
  }

  /** Lets `npm run dev` rest: when it would start again by itself cannot be known; test/commands/serve-watch.test.ts sees that it does. */
  async #rest(): Promise<void> {
    if (this.#running.get('web')?.line === 'npm run dev') await this.#stop('web')
  }

  async #serve(): Promise<void> {
    const { line, running } = this.#running.get('web') ?? {}
    if (line && !running) await this.#start(line)
  }

  #shell(line: string): Running {
    const env = { ...this.#env, WALK_URL: this.#url }
    return startManage(this.#t, ['-c', line], { program: ['/bin/sh'], cwd: this.#cwd, env })
  }
}

// Not every machine has it, and the port is another one.
const CURL = `#!${process.execPath}
import { parseArgs } from 'node:util'
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    silent: { type: 'boolean', short: 's' },
    include: { type: 'boolean', short: 'i' },
    request: { type: 'string', short: 'X' },
    header: { type: 'string', short: 'H', multiple: true, default: [] },
    cookie: { type: 'string', short: 'b' },
    json: { type: 'string' },
  },
})
const { request, header, cookie, json: body } = values
const headers = new Headers(header.map((one) => one.split(/: (.*)/, 2)))
if (cookie) headers.set('cookie', cookie)
if (body) headers.set('content-type', 'application/json')
const url = positionals[0].replace('${TOLD_URL}', process.env.WALK_URL)
const answer = await fetch(url, { method: request ?? (body ? 'POST' : 'GET'), headers, body })
const head = Array.from(answer.headers, ([name, value]) => name + ': ' + value)
if (values.include) console.log(['HTTP/1.1 ' + answer.status + ' ' + answer.statusText, ...head, ''].join('\\n'))
process.stdout.write(await answer.text())
`

/** Writes the programs that a page uses and no machine need have; their folder. */
function writePrograms(folder: string): string {
  const programs = join(folder, '.programs')
  mkdirSync(programs)
  writeFileSync(join(programs, 'package.json'), '{"type": "module"}')
  writeFileSync(join(programs, 'curl'), CURL, { mode: 0o755 })
  return programs
}
