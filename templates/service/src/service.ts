import { defineService, type Tables } from 'plinth'
// if auth=jwt
import bearer from 'plinth/plugins/bearer'
// end
// if auth=bk
import bkLogin from 'plinth/plugins/bk-login'
// end
// if auth=session
import session from 'plinth/plugins/session'
import users from 'plinth/plugins/users'
// end
import { version } from '../plugins/version.ts'
import { Note } from './notes/model.ts'
import { notes } from './notes/module.ts'

const models = [Note]

declare module 'plinth' {
  interface DatabaseTables extends Tables<typeof models> {}
}

export default defineService({
  name: '__NAME__',
  version: '0.1.0',
  models,
  modules: { notes },
  // if auth=none
  plugins: [version],
  // end
  // if auth=jwt
  plugins: [version, bearer()],
  // end
  // if auth=bk
  plugins: [version, bkLogin()],
  // end
  // if auth=session
  plugins: [version, users(), session({ users: true })],
  // end
  // if auth
  auth: true,
  // end
})
