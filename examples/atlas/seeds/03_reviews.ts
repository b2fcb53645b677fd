import { defineSeed, insertMissing } from 'plinth'

const PARIS = 2_988_507
const BERLIN = 2_950_159

const reviews = [
  {
    tenant: 'north',
    name: 'ann',
    city: PARIS,
    stars: 5,
    text: 'Walk along the Canal Saint-Martin.',
  },
  { tenant: 'north', name: 'bob', city: PARIS, stars: 3, text: 'Lovely, and full of people.' },
  { tenant: 'north', name: 'bob', city: BERLIN, stars: 4, text: 'Bring a bicycle.' },
  { tenant: 'south', name: 'cleo', city: PARIS, stars: 4, text: 'Book the museums first.' },
  { tenant: 'south', name: 'cleo', city: BERLIN, stars: 5, text: 'The lakes, in summer.' },
]

export default defineSeed({
  summary: 'What users of two tenants say of two cities',
  async run({ db, progress }) {
    const now = new Date()
    const rows = reviews.map(({ name, ...review }, index) => {
      const by = `${review.tenant}/${name}`
      return {
        id: index + 1,
        ...review,
        created_at: now,
        created_by: by,
        updated_at: now,
        updated_by: by,
      }
    })
    await progress(rows.length, await insertMissing(db, 'review', rows, 'id'))
  },
})
