import { defineSeed } from 'plinth'

export default defineSeed({
  summary: '__TITLE__',
  async run({ progress }) {
    // insertMissing(db, table, rows, key) adds what is not there yet.
    await progress(0, 0)
  },
})
