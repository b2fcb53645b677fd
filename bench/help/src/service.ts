// A service that lists ten plugins, whose commands `manage --help` has to find.
import { definePlugin, defineService } from 'plinth'
import bearer from 'plinth/plugins/bearer'
import bkGateway from 'plinth/plugins/bk-gateway'
import session from 'plinth/plugins/session'
import signature from 'plinth/plugins/signature'
import users from 'plinth/plugins/users'

const commands = new URL('./commands/', import.meta.url)
const sms = definePlugin({ name: 'sms', commands })

export default defineService({
  name: 'help',
  auth: true,
  modules: {},
  plugins: [
    ...[bearer(), bkGateway(), session(), signature(), users()],
    ...[sms(), ...['alerts', 'bills', 'codes', 'dates'].map((name) => sms({ name }))],
  ],
})
