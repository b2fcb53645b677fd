import { defineSeed, insertMissing } from 'plinth'

const titles = ['Water the plants', 'Read about migrations', 'Call the bank']

export default defineSeed({
  summary: 'A few notes to look at',
  async run({ db, progress }) {
    const now = new Date()
    const rows = titles.map((title, index) => ({
      id: index + 1,
      title,
      text: '',
      created_at: now,
      updated_at: now,
    }))
    await progress(rows.length, await insertMissing(db, 'note', rows, 'id'))
  },
})
