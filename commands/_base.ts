import { Command } from '@oclif/core/command'
import type { FastifyInstance } from 'fastify'
import { errors, PlinthError } from '../src/errors.ts'
import { locateService, type ServiceLocation } from '../src/process/locate.ts'
import type { AppOptions, ServiceDefinition } from '../src/service.ts'
import { describeError } from './_describe.ts'
import { type LoadedService, loadService } from './_service.ts'

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
    options: Pick<AppOptions, 'prepare'> = {},
  ): Promise<T> {
    const loaded = await this.loadService()
    return await this.runIn(loaded.service, loaded, fn, options)
  }

  /**
   * The same for what needs the database alone: without resources, the service's own plugins and the API document,
   * which take half of the time to start. A statement may take as long as it wants.
   */
  protected async withDatabase<T>(
    fn: (app: FastifyInstance, loaded: LoadedService) => Promise<T>,
  ): Promise<T> {
    const loaded = await this.loadService()
    const service = { ...loaded.service, modules: {}, plugins: [] }
    const env = { ...process.env, DATABASE_QUERY_TIMEOUT: '0', DOCS: 'false' }
    return await this.runIn(service, loaded, fn, { env })
  }

  private async runIn<T>(
    service: ServiceDefinition,
    loaded: LoadedService,
    fn: (app: FastifyInstance, loaded: LoadedService) => Promise<T>,
    options: AppOptions,
  ): Promise<T> {
    const { createApp } = await import('../src/service.ts')
    const { logFormat } = await import('../src/process/log.ts')
    const app = (await createApp(service, {
      root: loaded.root,
      logger: { ...logFormat(loaded.service.name), level: 'warn', stream: process.stderr },
      ...options,
    })) as unknown as FastifyInstance
    try {
      await app.ready()
      return await fn(app, loaded)
    } finally {
      await app.close()
    }
  }

  /**
   * Stops what could lose data in production.
   *
   * @throws {PlinthError} PRODUCTION_REFUSED unless `force`
   */
  protected refuseInProduction(app: FastifyInstance, action: string, force: boolean): void {
    if (app.config.NODE_ENV === 'production' && !force) throw errors.PRODUCTION_REFUSED(action)
  }

  protected override async catch(error: unknown): Promise<unknown> {
    // Wrong usage: oclif says what and exits with 2.
    if (error instanceof Error && 'oclif' in error) throw error
    if (this.jsonEnabled()) this.logJson(this.toErrorJson(error))
    else this.logToStderr(describeError(error))
    return this.exit(1)
  }

  protected override toErrorJson(error: unknown): unknown {
    if (!PlinthError.is(error)) {
      return { error: { message: error instanceof Error ? error.message : String(error) } }
    }
    const { code, message, errors: details } = error
    return { error: { code, message, ...(details && { errors: details }) } }
  }
}
