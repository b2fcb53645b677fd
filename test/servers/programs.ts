import type { Attached } from './attach.ts'
import { isExecutable } from './program.ts'

/** A program that tests start themselves: its variable has its path. */
const startedByTests = (program: Omit<Attached, 'check' | 'start'>): Attached => ({
  ...program,
  async check(path) {
    if (!isExecutable(path)) throw new Error('no such program')
  },
  start: async (path) => path,
})

/** The browser. */
export const chromium = startedByTests({
  title: 'Chromium',
  variable: 'CHROMIUM_PATH',
  example: '/usr/bin/chromium',
  programs: [
    'chromium',
    'chromium-browser',
    'google-chrome',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  ],
  package: 'chromium',
})

/** What reads metrics and alerts as Prometheus does. */
export const promtool = startedByTests({
  title: 'promtool',
  variable: 'PROMTOOL_PATH',
  example: '/usr/bin/promtool',
  programs: ['promtool'],
  package: 'prometheus',
})
