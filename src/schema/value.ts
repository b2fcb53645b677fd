import type { Static, TSchema } from 'typebox'

/**
 * A value that a schema allows, where both are given to one function. The type of the schema does not follow from it, else
 * TypeScript looks at all that it might be of any schema there is: that alone takes a second.
 */
export type Value<Schema extends TSchema> = NoInfer<Static<Schema>>
