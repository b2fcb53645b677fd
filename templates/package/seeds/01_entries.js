import { defineSeed, insertMissing } from 'plinth'

export default defineSeed({
  summary: 'An entry to look at',
  async run({ db, progress }) {
    const rows = [{ id: 1, source: 'seed', text: 'Hello' }]
    await progress(rows.length, await insertMissing(db, '__SNAKE___entry', rows, 'id'))
  },
})
