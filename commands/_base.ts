import { constants } from 'node:os'
import { Command } from '@oclif/core/command'
import type { Input, ParserOutput } from '@oclif/core/interfaces'
import type { FastifyInstance } from 'fastify'
import { errors } from '../src/errors.ts'
import { locateService, type ServiceLocation } from '../src/process/locate.ts'
import type { AppOptions } from '../src/service.ts'
import type { ServiceDatabase } from '../src/service-database.ts'
import { withAppOf, withDatabaseOf } from './_app.ts'
import { describeError, errorJson, type OclifError } from './_describe.ts'
import { formatJson } from './_print.ts'
import { type LoadedService, loadService } from './_service.ts'

/** Flags or arguments by their names. */
type Named = Record<string, unknown>

/**
 * What every command of the kit and of services extends. Results go to stdout (`this.log`), talk goes to
 * stderr (`this.logToStderr`); with `static enableJsonFlag = true` what `run` returns is the `--json`
 * output. A command throws to fail: exit code 1; wrong usage is 2.
 */
export abstract class BaseCommand extends Command {
  /** The real path of the `manage` script, which `_main.ts` leaves in oclif's manifest. */
  protected get script(): string {
    const manifest = this.config.pjson as { plinth?: { script: string } }
    return manifest.plinth?.script ?? process.cwd()
  }

  /** Where the service lives that this command is for; nothing of it is loaded. */
  protected locate(): ServiceLocation {
    return locateService(this.script)
  }

  /** The service this command is for. */
  protected loadService(): Promise<LoadedService> {
    return loadService(this.script)
  }

  /**
   * Runs `fn` with the service's app, ready but not listening, and closes it whatever happens.
   *
   * @param options as in `createApp`
   */
  protected async withApp<T>(
    fn: (app: FastifyInstance, loaded: LoadedService) => Promise<T>,
    options: Pick<AppOptions, 'prepare' | 'only'> = {},
  ): Promise<T> {
    return await withAppOf(await this.loadService(), fn, options)
  }

  /**
   * Runs `fn` with the service's database alone, as `{ db, config }`, and closes it whatever happens: without an app, which takes
   * several times as long to load. A statement may take as long as it wants.
   *
   * @throws {PlinthError} DATABASE_MISSING
   */
  protected async withDatabase<T>(
    fn: (database: ServiceDatabase, loaded: LoadedService) => Promise<T>,
  ): Promise<T> {
    return await withDatabaseOf(await this.loadService(), fn)
  }

  /**
   * Stops what could lose data in production.
   *
   * @throws {PlinthError} PRODUCTION_REFUSED unless `force`
   */
  protected refuseInProduction(
    { config }: Pick<FastifyInstance, 'config'>,
    action: string,
    force: boolean,
  ): void {
    if (config.NODE_ENV === 'production' && !force) throw errors.PRODUCTION_REFUSED(action)
  }

  /**
   * Stops the work at the first SIGINT or SIGTERM, and exits with the code of a shell; a second one kills.
   *
   * @param told what is said then
   */
  protected async untilSignal<T>(
    told: string,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const stop = new AbortController()
    let code = 0
    const onSignal = (name: NodeJS.Signals) => {
      code = 128 + constants.signals[name]
      stop.abort()
    }
    process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
    try {
      return await work(stop.signal)
    } catch (error) {
      if (!stop.signal.aborted) throw error
      this.logToStderr(told)
      return this.exit(code)
    } finally {
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
    }
  }

  /** Takes no argument from stdin, as oclif does where one is missing and a line is there in time. */
  protected override parse<F extends Named, B extends Named, A extends Named>(
    options: Input<F, B, A> = this.ctor as Input<F, B, A>,
    argv?: string[],
  ): Promise<ParserOutput<F, B, A>> {
    const args = Object.entries(options.args ?? {}).map(([name, arg]) => [
      name,
      { ...arg, ignoreStdin: true },
    ])
    return super.parse({ ...options, args: Object.fromEntries(args) }, argv)
  }

  // oclif prints no result that is empty, 0 or false.
  protected override async _run<T>(): Promise<T> {
    const result = await super._run<T>()
    if (!result && this.jsonEnabled()) this.logJson(this.toSuccessJson(result))
    return result
  }

  override logJson(json: unknown): void {
    console.log(formatJson(json))
  }

  protected override async catch(error: unknown): Promise<unknown> {
    const { code, oclif } = error as OclifError
    // _main.ts says what is wrong with the arguments, also where it is said as JSON.
    if (code === 'EEXIT' || oclif?.exit === 2) throw error
    if (this.jsonEnabled()) this.logJson(this.toErrorJson(error))
    else if (oclif) throw error
    else this.logToStderr(describeError(error))
    return this.exit(oclif?.exit || 1)
  }

  protected override toErrorJson(error: unknown): unknown {
    return errorJson(error)
  }
}
