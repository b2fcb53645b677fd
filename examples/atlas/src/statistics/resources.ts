import { defineList, defineResource } from 'plinth'
import { Statistic } from './model.ts'

const statistics = defineList(Statistic.schema, { order: ['day'], key: 'day' })

export const list = defineResource({
  summary: 'The statistics of each day',
  auth: 'public',
  request: statistics.request,
  response: statistics.response,
  perform: (input, { db }) =>
    statistics.paginate(db.selectFrom('statistic').select(Statistic.columns), input),
})

/** Runs every night; another time on the same day, it replaces what was found. */
export const compute = defineResource({
  summary: 'Compute the statistics of today',
  expose: false,
  response: Statistic.schema,
  schedule: { cron: '0 3 * * *', jitter: 60_000, missed: 'once' },
  task: { attempts: 5 },
  async perform(_, { db }) {
    const { population, ...found } = await db
      .selectFrom('city')
      .select(({ fn }) => [
        fn.count<number>('country').distinct().as('countries'),
        fn.countAll<number>().as('cities'),
        fn.sum<string | number | null>('population').as('population'),
      ])
      .executeTakeFirstOrThrow()
    const now = new Date()
    const day = now.toISOString().slice(0, 10)
    const row = { ...found, day, population: Number(population ?? 0), computed_at: now }
    await db.transaction().execute(async (transaction) => {
      await transaction.deleteFrom('statistic').where('day', '=', day).execute()
      await transaction.insertInto('statistic').values(row).execute()
    })
    return { ...row, computed_at: now.toISOString() }
  },
})
