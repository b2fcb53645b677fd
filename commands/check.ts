import { BaseCommand } from './_base.ts'

export default class Check extends BaseCommand {
  static override summary = 'Check that the service is fit to run'
  static override description =
    'Reads the configuration, builds the app, asks every attached resource and looks for migrations that have not been applied. Exits 1 when something is wrong.'
  static override examples = ['<%= config.bin %> check', '<%= config.bin %> check --json']
  static override enableJsonFlag = true

  async run() {
    await this.parse(Check)
    const loaded = await this.loadService()
    const { checkService } = await import('../src/check.ts')
    const findings = await checkService(loaded)
    for (const { level, check, message } of findings)
      this.log(`${level.padEnd(7)} ${check}: ${message}`)
    if (findings.some(({ level }) => level === 'error')) process.exitCode = 1
    return findings
  }
}
