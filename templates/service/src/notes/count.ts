import { defineResource, Type } from 'plinth'

/** Business logic, written once: `await count()` in process, `GET /notes/count`, `await count.enqueue()` as a task. */
export const count = defineResource({
  summary: 'How many notes there are',
  path: '/count',
  // if auth
  auth: 'public',
  // end
  response: Type.Object({ notes: Type.Integer() }),
  async perform(_, { db }) {
    const { notes } = await db
      .selectFrom('note')
      .select(({ fn }) => fn.countAll<number | bigint>().as('notes'))
      .executeTakeFirstOrThrow()
    return { notes: Number(notes) }
  },
})
