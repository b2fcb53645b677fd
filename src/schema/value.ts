import type { Static, TSchema } from 'typebox'

// Comparing what two schemas allow, while it is not known what schemas they are, takes TypeScript a second: it goes through all
// that a schema may be. So no schema is inferred from a value, and what has schemas as its parameters says their variance (`out`,
// `in out`), which would be found out in the same way. test/consumer.test.ts counts.

/** A value that a schema allows, where both are given to one function: the schema does not follow from it. */
export type Value<Schema extends TSchema> = NoInfer<Static<Schema>>
