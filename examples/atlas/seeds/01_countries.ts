import { defineSeed, insertMissing } from 'plinth'
import { readCountries } from '../src/data/countries.ts'

export default defineSeed({
  summary: 'The countries and territories of the world',
  async run({ db, progress }) {
    const countries = readCountries()
    await progress(countries.length, await insertMissing(db, 'country', countries, 'code'))
  },
})
