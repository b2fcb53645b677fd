import type { Attached } from './attach.ts'
import { isExecutable } from './program.ts'

/** The browser that tests start themselves. */
export const chromium: Attached = {
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
  async check(path) {
    if (!isExecutable(path)) throw new Error('no such program')
  },
  start: async (program) => program,
}
