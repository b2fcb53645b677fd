import module, { type ResolveFnOutput, syncBuiltinESMExports } from 'node:module'
import { main } from '../../commands/_main.ts'
import { selected } from '../../commands/_selected.ts'
import { END, type Job } from './manage-hosted.ts'

// A process that runs one `manage` after another, for manage-hosted.ts: the kit is loaded once for all of them.

let runs = 0
let folder: string | undefined
let exit: number | undefined

/** A service's files may have changed since the last run, and would be loaded again by a process of its own. */
function anew(found: ResolveFnOutput): ResolveFnOutput {
  const own = folder !== undefined && found.url.startsWith(`file://${folder}/`)
  return own ? { ...found, url: `${found.url.replace(/\?run=.*/, '')}?run=${runs}` } : found
}

const { registerHooks } = module
registerHooks({ resolve: (specifier, context, next) => anew(next(specifier, context)) })
// Those of the kit come before it.
module.registerHooks = ({ resolve, ...hooks }) =>
  registerHooks({ ...hooks, resolve: (...args) => anew((resolve ?? args[2])(...args)) })
syncBuiltinESMExports()

// The first one counts: what oclif does after it, nobody would see.
process.exit = ((code: number = 0) => {
  exit ??= code
}) as typeof process.exit

// Every run listens to them until its process would have ended.
for (const emitter of [process, process.stdout, process.stderr]) emitter.setMaxListeners(0)

process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
process.on('message', async (job: Job) => {
  process.send?.(await execute(job))
})

async function execute({ script, args, env, cwd, service }: Job): Promise<number> {
  process.env = env
  process.argv = [process.execPath, script, ...args]
  process.chdir(cwd)
  process.exitCode = undefined
  exit = undefined
  for (const id of Object.keys(selected)) delete selected[id]
  folder = service
  runs++
  await main(script, args)
  // Read by the time that they are, so is everything before them.
  process.stdout.write(END)
  process.stderr.write(END)
  return exit ?? Number(process.exitCode ?? 0)
}
