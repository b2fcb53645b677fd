import type { Kysely } from 'kysely'
import t from 'tap'
import { Type } from 'typebox'
import { defineList } from '../../src/crud/list.ts'
import { modelResources } from '../../src/crud/model-resources.ts'
import { createMigrator } from '../../src/database/migration/migrator.ts'
import { defineModel } from '../../src/database/model/define.ts'
import { column } from '../../src/database/model/schemas.ts'
import type { Tables } from '../../src/database/model/types.ts'
import { defineModule } from '../../src/resource/module.ts'
import { type AnyDatabase, folder, migration, tablesOf } from '../database/fixture.ts'
import { onEveryDatabase } from './rows-of.ts'

const text = (maxLength: number) => column(Type.String({ maxLength }), { comparison: 'ignoreCase' })

const Note = defineModel('note', {
  columns: { id: Type.Integer({ minimum: 1 }), title: text(80), body: text(500) },
  generated: ['id'],
})
const models = [Note] as const
type Db = Kysely<Tables<typeof models>>

const list = { search: ['title', 'body'], fullText: 'note_words', fields: ['id'] } as const
const resources = modelResources(Note, { list, export: true })
const modules = { notes: defineModule({ prefix: '/notes', resources }) }

const NOTES = [
  ['Water the plants', 'Not the cactus'],
  ['The planting of trees', 'In autumn, as the soil is wet: water'],
  ['Cafés', 'Which of them is the best, in all of Paris?'],
  ['PARIS', 'by_night, don’t miss 3 of the 42 bridges'],
  ['%', 'a "quoted" word - and +plus* (more)'],
] as const

onEveryDatabase(
  t,
  'rows are found by their words',
  { models, modules },
  async (t, as, { db: anyDb }) => {
    const db = anyDb as unknown as Db
    const [early, late] = [NOTES.slice(0, 2), NOTES.slice(2)].map((notes) =>
      notes.map(([title, body]) => ({ title, body })),
    ) as [{ title: string; body: string }[], { title: string; body: string }[]]
    await db.insertInto('note').values(early).execute()
    const directory = folder(t, {
      '0001_words.ts': migration(
        "m.addFullText('note', { name: 'note_words', columns: ['title', 'body'] })",
      ),
    })
    const migrator = createMigrator({ db: anyDb as unknown as AnyDatabase, directory })
    const before = await tablesOf(anyDb as unknown as AnyDatabase)
    t.match(await migrator.migrate(), { length: 1 })
    for (const [i, note] of late.entries()) {
      const made = await as(undefined, 'POST', '/notes', note)
      t.match(made, { status: 201, data: { id: i + 3 } }, 'its id is that of the row')
    }
    const find = async (search: string) => {
      const query = new URLSearchParams({ search, page_size: '100' })
      const { status, data } = await as(undefined, 'GET', `/notes?${query}`)
      t.equal(status, 200, search)
      return (data as { results: { id: number }[] }).results.map(({ id }) => id)
    }
    for (const [search, ids, what] of [
      ['plant', [1, 2], 'as words begin'],
      ['WATER', [1, 2], 'whatever their case'],
      ['water plants', [1], 'all of them'],
      ['plants water', [1], 'in any order, in any of the columns'],
      ['lants', [], 'not in the middle'],
      ['the paris', [3, 4], 'words that no index has do not count'],
      ['cafés', [3], 'letters have their marks'],
      ['bridges, 3!', [4], 'marks are no words'],
      ['-word +plus* "quoted" (more) ~<>@', [5], 'nothing is an operator'],
      ['"', [], 'what has no word is nowhere'],
      ['%', [], 'nor has this'],
      ['note_words', [], 'nor is it a name'],
    ] as const)
      t.strictSame(await find(search), ids, `${search}: ${what}`)

    const page = await as(undefined, 'GET', '/notes?search=water&page_size=1&page=2&order=-id')
    t.match(page.data, { total: 2, num_pages: 2, results: [{ id: 1 }] })
    const cut = await as(undefined, 'GET', '/notes?search=paris&fields=id')
    t.strictSame((cut.data as { results: object[] }).results, [{ id: 3 }, { id: 4 }])

    await as(undefined, 'PATCH', '/notes/1', { body: 'But for cactuses' })
    t.strictSame([await find('cactus'), await find('cactuses')], [[1], [1]], 'it is changed')
    await as(undefined, 'PATCH', '/notes/2', { title: 'Other things' })
    t.strictSame([await find('planting'), await find('other water')], [[], [2]])
    await as(undefined, 'DELETE', '/notes/2')
    t.strictSame(await find('water'), [1], 'it is gone')

    t.match(await migrator.rollback({ steps: 1 }), { length: 1 })
    t.strictSame(await tablesOf(anyDb as unknown as AnyDatabase), before)
    t.match(
      await as(undefined, 'POST', '/notes', late[0]),
      { status: 201 },
      'nothing is left of it',
    )
    t.match(await migrator.migrate(), { length: 1 })
    t.strictSame(await find('paris'), [3, 4, 6])
  },
)

t.test('what would find other rows on another database is refused', async (t) => {
  const { properties } = Note.schema
  const exact = Type.Object({ ...properties, title: Type.String() })
  for (const [make, problem] of [
    [
      () => defineList(Note.schema, { ...list, search: [], order: ['id'], key: 'id' }),
      /no columns/,
    ],
    [() => defineList(Note.schema, { ...list, order: ['id'], key: 'title' }), /not one integer/],
    [
      () => defineList(Note.schema, { ...list, order: ['id'], key: ['id', 'title'] }),
      /not one integer/,
    ],
    [() => defineList(exact, { ...list, order: ['id'], key: 'id' }), /case in title.*ignoreCase/],
  ] as const)
    t.throws(make, { code: 'RESOURCE_INVALID', message: problem })
})

t.test('the API document says what is searched', async (t) => {
  const { request } = resources.list.definition
  t.match(request?.properties.search, { description: /^Words.* all of which are in title or body/ })
})
