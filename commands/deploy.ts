import { join } from 'node:path'
import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import type { ComparedFile, Target } from '../src/deploy/targets.ts'
import { BaseCommand } from './_base.ts'

const TARGETS = {
  procfile: 'Procfile',
  blueking: 'app_desc.yaml',
  docker: 'Dockerfile and .dockerignore',
  compose: 'compose.yaml',
  kubernetes: 'deploy/kubernetes/',
  systemd: 'deploy/systemd/',
} satisfies Record<Target, string>

export default class Deploy extends BaseCommand {
  static override summary = 'Write the files that a platform runs the service by'
  static override description =
    'From processes of the service. Nothing is connected, and no variable of whoever runs it gets into them. A file that is there and says something else is replaced by --force alone.'
  static override examples = [
    '<%= config.bin %> deploy docker',
    '<%= config.bin %> deploy kubernetes --image registry.example.com/shop:1.2.0 --dry-run | kubectl diff -f -',
    '<%= config.bin %> deploy blueking --spec 2',
    '<%= config.bin %> deploy systemd --directory /opt/shop',
  ]
  static override enableJsonFlag = true
  static override args = {
    target: Args.string({
      required: true,
      options: Object.keys(TARGETS),
      description: `what for: ${Object.entries(TARGETS)
        .map(([name, files]) => `${name} (${files})`)
        .join(', ')}`,
    }),
  }
  static override flags = {
    image: Flags.string({
      helpValue: 'NAME',
      description:
        'docker, compose, kubernetes: the image; default: name and version of the service',
    }),
    directory: Flags.string({
      helpValue: 'PATH',
      description: 'systemd: the folder of the service on that machine; default: /srv and its name',
    }),
    spec: Flags.option({
      options: ['3', '2'] as const,
      default: '3' as const,
      description: 'blueking: the version of app_desc.yaml',
    })(),
    force: Flags.boolean({ description: 'replace files that say something else' }),
    'dry-run': Flags.boolean({ description: 'print the files, and write none' }),
  }

  async run(): Promise<{ files: Pick<ComparedFile, 'path' | 'state'>[] }> {
    const { args, flags } = await this.parse(Deploy)
    const target = args.target as Target
    const { service, root } = await this.loadService()
    const { planDeployment } = await import('../src/deploy/plan.ts')
    const { assertUnchanged, compareFiles, filesOf } = await import('../src/deploy/targets.ts')
    const { image, directory } = flags
    const spec = flags.spec === '2' ? 2 : 3
    const { missingPackages } = await import('../src/packages.ts')
    const redis = missingPackages('deploy', ['ioredis']) === undefined
    const plan = planDeployment(service, root, { image, directory, spec, redis })
    const files = compareFiles(await filesOf(target, plan), root)
    if (flags['dry-run']) {
      this.print(files)
      return { files }
    }
    if (!flags.force) assertUnchanged(files, root, target)
    const { writeFiles } = await import('../src/files.ts')
    const written = files.filter(({ state }) => state !== 'same')
    writeFiles(
      written.map(({ path, text }) => ({ path: join(root, path), text })),
      true,
    )
    for (const { path } of written) this.log('wrote %s', path)
    if (written.length === 0) this.log('no changes')
    return { files: files.map(({ path, state }) => ({ path, state })) }
  }

  /** One as it is; of several each below its path, in a form that YAML and the others take for a comment. */
  private print(files: readonly ComparedFile[]): void {
    const texts = files.map(({ path, text }) => {
      const separator = path.endsWith('.yaml') ? '---\n' : ''
      return files.length === 1 ? text : `${separator}# ${path}\n${text}`
    })
    this.log('%s', texts.join('\n').trimEnd())
  }
}
