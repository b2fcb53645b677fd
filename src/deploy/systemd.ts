import type { DeployFile, Plan } from './plan.ts'
import type { Process } from './processes.ts'

/** A unit for each process; that of `release` runs before the others start. */
export function writeSystemd(plan: Plan): DeployFile[] {
  const { name, long, release } = plan
  const all = [
    ...long.map((process) => unitOf(plan, process)),
    ...(release ? [releaseOf(plan, release)] : []),
  ]
  return all.map(([process, text]) => ({ path: `deploy/systemd/${name}-${process}.service`, text }))
}

function unitOf(plan: Plan, process: Process): [name: string, text: string] {
  const { name, stop, release } = plan
  const before = release ? `Requires=${name}-release.service\nAfter=${name}-release.service\n` : ''
  // A signal to replace its processes has only one that supervises some.
  const isSupervisor = process.words.some((word) => /^(-w|--workers)/.test(word))
  const reload = isSupervisor ? 'ExecReload=/bin/kill -HUP $MAINPID\n' : ''
  // What is not of the kit does not say how it is.
  const type = process.words[0] === 'manage' ? TELLS : 'Type=exec\n'
  return [
    process.name,
    `[Unit]
Description=${name}, ${process.name}
Wants=network-online.target
After=network-online.target
${before}
[Service]
${type}${commandOf(plan, process)}${reload}Restart=on-failure
RestartSec=1
# The process tells those that it has started itself.
KillMode=mixed
TimeoutStopSec=${stop}
MemoryMax=${process.memory}M
${process.countsCpus ? `CPUQuota=${process.cpu * 100}%\n` : ''}${HARDENING}
[Install]
WantedBy=multi-user.target
`,
  ]
}

function releaseOf(plan: Plan, release: Process): [name: string, text: string] {
  return [
    'release',
    `[Unit]
Description=${plan.name}, before a release
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
# A migration takes the time that it takes.
TimeoutStartSec=infinity
${commandOf(plan, release)}${HARDENING}`,
  ]
}

function commandOf({ name, directory, port }: Plan, { words }: Process): string {
  const [program = '', ...args] = words
  const path = program === 'manage' ? `${directory}/node_modules/.bin/manage` : program
  return `WorkingDirectory=${directory}
ExecStart=${[path, ...args].map(quote).join(' ')}
Environment=NODE_ENV=production PORT=${port}
# DATABASE_URL, REDIS_URL and what else the service reads: readable for root alone.
EnvironmentFile=-/etc/${name}.env
`
}

/** A word of ExecStart: `%` and `$` mean something there. */
function quote(word: string): string {
  const text = word.replaceAll('%', '%%').replaceAll('$', () => '$$')
  return /^[^\s"'\\]+$/.test(text) ? text : `"${text.replaceAll(/["\\]/g, '\\$&')}"`
}

const TELLS = `Type=notify
# It tells by a program of its own, systemd-notify.
NotifyAccess=all
WatchdogSec=30
`

// Not MemoryDenyWriteExecute: V8 writes the code that it runs.
const HARDENING = `# A user that there is only as long as it runs, and that may write nowhere but in /tmp.
DynamicUser=yes
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
CapabilityBoundingSet=
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
UMask=0077
`
