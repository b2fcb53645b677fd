import Type, { type Static } from 'typebox'
import { resourceVariables } from './variables-resources.ts'
import { serverVariables } from './variables-server.ts'

export { secret } from './secret.ts'

/** The kit's own variables. A service joins its own to them; docs/configuration.md lists them. */
export const kitConfig = Type.Object({ ...serverVariables, ...resourceVariables })

/** The values of the kit's variables, as `app.config` holds them. */
export type KitConfig = Static<typeof kitConfig>

/**
 * The service's own variables, for the type of `app.config`:
 * `declare module 'plinth' { interface ServiceConfig extends Static<typeof env> {} }`.
 */
// biome-ignore lint/suspicious/noEmptyInterface: it is there to be extended
export interface ServiceConfig {}

/** The kit as an owner of variables, for `readConfig()`. */
export const kitOwner = { owner: 'plinth', schema: kitConfig }

/** The same for a service with these modules: PLINTH_MODULES names no other. */
export function kitOwnerOf(modules: readonly string[]): typeof kitOwner {
  const names = ['__all__', ...modules]
  const name = `\\s*(?:${names.map(literal).join('|')})\\s*`
  const PLINTH_MODULES = Type.With(serverVariables.PLINTH_MODULES, {
    pattern: `^${name}(?:,${name})*$`,
    expected: `__all__, or modules with commas between them: ${modules.join(', ')}`,
  })
  return { ...kitOwner, schema: Type.Object({ ...kitConfig.properties, PLINTH_MODULES }) }
}

/** A pattern of `text` itself. */
function literal(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&')
}
