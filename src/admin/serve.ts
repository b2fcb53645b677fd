import type { ValidateFunction } from 'ajv/dist/2019.js'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { assertOwnPage } from '../auth/browser.ts'
import { AuditLog, textOf } from '../crud/change-log.ts'
import { pick, type Values } from '../crud/model-write.ts'
import type { Model } from '../database/model/types.ts'
import { inTransaction } from '../database/transaction.ts'
import { type ErrorDetail, errors, notFound } from '../errors.ts'
import { useStrictJson } from '../http/body.ts'
import { standardEnvelope } from '../http/envelope.ts'
import { createErrorHandler } from '../http/error-handler.ts'
import { compileText } from '../http/read-text.ts'
import { contextOf, giveContext } from '../http/request-context.ts'
import { assertOwnMachine, PAGE_HEADERS, sendPage } from '../own-page.ts'
import { type Access, PUBLIC } from '../resource/access.ts'
import { CompiledResources } from '../resource/compiled.ts'
import { Context, runInContext } from '../resource/context.ts'
import { type Answer, authorize, execute } from '../resource/execute.ts'
import { fromJson } from '../schema/json.ts'
import { boundNumbers, closeSchema, type JsonSchema } from '../schema/json-schema.ts'
import { compileExact, toDetails } from '../schema/validate.ts'
import {
  type AdminAction,
  type AdminModel,
  type AdminTable,
  adminTables,
  type Called,
  describeField,
  type Field,
  operatorsOf,
  type Write,
} from './tables.ts'

export interface ServeAdmin {
  readonly title: string
  readonly models: readonly Model[]
  readonly tables: Readonly<Record<string, AdminTable | false>>
  /** Who may; `undefined`: this machine, as the service itself. */
  readonly access: Access | undefined
  readonly hosts: readonly string[] | undefined
}

const PAGE = '/_/admin'
const DATA = `${PAGE}/tables`

/** Serves the page, and what it asks for. */
export function serveAdmin(app: FastifyInstance, settings: ServeAdmin): void {
  const { title, access, hosts } = settings
  if (app.hasRoute({ method: 'GET', url: app.prefix + PAGE })) throw errors.PLUGIN_TWICE('admin')
  giveContext(app)
  // What is misspelt is told when the service starts.
  app.addHook('onReady', async () => {
    for (const { create, update, remove } of Object.values(settings.tables).filter(
      (one) => one !== false,
    ))
      for (const resource of [create, update, remove]) if (resource) app.registry.of(resource)
  })
  let made: Admin | undefined
  const admin = () => {
    made ??= new Admin(app, settings)
    return made
  }
  app.register(async function servePages(scope) {
    useStrictJson(scope)
    scope.setErrorHandler(createErrorHandler(standardEnvelope))
    const config = { kit: 'admin', access: access ?? PUBLIC } as const
    const guard = (isData: boolean) => async (request: FastifyRequest, reply: FastifyReply) => {
      reply.headers(PAGE_HEADERS)
      if (!access) assertOwnMachine(request, { plugin: 'admin', hosts }, isData)
      assertOwnPage(request, new Set())
    }
    const options = (isData: boolean) => ({
      schema: { hide: true } as never,
      config,
      onRequest: guard(isData),
    })
    scope.get(PAGE, options(false), (_request, reply) => sendPage(reply, 'admin'))

    type Work = (asked: Asked, admin: Admin) => unknown
    const answer = (method: 'GET' | 'POST' | 'PATCH', path: string, work: Work) =>
      scope.route({
        method,
        url: DATA + path,
        ...options(true),
        async handler(request, reply) {
          const own = contextOf(request)
          own.settleUser()
          // As the service itself: for all rows, and what only some users may.
          const context = access ? own : new Context(app, undefined, undefined, own)
          const { params, query, body } = request
          const asked = { context, params, query: { ...(query as object) }, body } as Asked
          reply.type('application/json; charset=utf-8')
          return textOf(await runInContext(context, work, asked, admin()))
        },
      })
    answer('GET', '', ({ context }, admin) => admin.about(title, context))
    answer('GET', '/:table', (asked, admin) => admin.page(asked))
    answer('GET', '/:table/row', (asked, admin) => admin.row(asked))
    answer('GET', '/:table/choices/:column', (asked, admin) => admin.choices(asked))
    answer('POST', '/:table', (asked, admin) => admin.create(asked))
    answer('PATCH', '/:table', (asked, admin) => admin.update(asked))
    answer('POST', '/:table/delete', (asked, admin) => admin.remove(asked))
  })
}

interface Asked {
  readonly context: Context
  readonly params: { readonly table: string; readonly column: string }
  readonly query: Record<string, unknown>
  readonly body: unknown
}

const CHOICES = 20

/** What the page asks for: all rows go through the resources of their models, or what these are made of. */
class Admin {
  readonly #tables: ReadonlyMap<string, AdminModel>
  readonly #compiled: CompiledResources
  readonly #queries = new Map<string, ValidateFunction>()

  constructor(app: FastifyInstance, { models, tables }: ServeAdmin) {
    this.#tables = adminTables(app, models, tables)
    this.#compiled = app.hasDecorator('compiled') ? app.compiled : new CompiledResources(app)
  }

  about(title: string, { user }: Context): object {
    const tables = Array.from(this.#tables.values(), (table) => {
      const { model, shown, listed, label, isSearched, writes } = table
      const columns = shown.map((name) => ({
        ...this.#linked(model, describeField(model, name, model.schema.properties[name] as never)),
        operators: listed.includes(name) ? operatorsOf(model, name) : [],
      }))
      return {
        name: model.table,
        key: model.state.primaryKey,
        label,
        listed,
        columns,
        search: isSearched,
        create: this.#fieldsOf(model, writes.create),
        update: this.#fieldsOf(model, writes.update),
        remove: writes.remove !== undefined,
        history: model.isLogged && this.#tables.has(AuditLog.table),
      }
    })
    return { title, user: user ? (user.name ?? user.id) : null, tables }
  }

  #fieldsOf(model: Model, write: Write | undefined): readonly Field[] | null {
    return write?.fields.map((field) => this.#linked(model, field)) ?? null
  }

  /** Where it refers to rows that can be chosen from, with their table. */
  #linked(model: Model, field: Field): Field {
    const target = this.#target(model, field.name)
    return target ? { ...field, to: target.table.model.table } : field
  }

  /** What a column refers to, alone, and where that can be seen here. */
  #target({ state }: Model, name: string): { table: AdminModel; column: string } | undefined {
    const key = state.foreignKeys?.find(
      ({ columns }) => columns.length === 1 && columns[0] === name,
    )
    const [column = ''] = key?.references ?? []
    const table = key && this.#tables.get(key.table)
    return table?.listed.includes(column) ? { table, column } : undefined
  }

  async page({ context, params, query }: Asked): Promise<object> {
    const table = this.#find(params.table)
    await allow(table.reads.list, {}, context)
    const input = this.#read(`${table.model.table} list`, table.list.request, query)
    return await table.list.paginate(context.db, input)
  }

  async row({ context, params, query }: Asked): Promise<Values> {
    const table = this.#find(params.table)
    const key = this.#read(`${table.model.table} row`, table.rows.request, query)
    await allow(table.reads.retrieve, key, context)
    const row = pick(await table.rows.retrieve(key, context), table.shown)
    return table.model.table === AuditLog.table ? this.#withoutHidden(row) : row
  }

  /** The log has whole rows: of them is shown what is shown of the rows. */
  #withoutHidden(entry: Values): Values {
    const shown = this.#tables.get(String(entry.table_name))?.shown ?? []
    const image = (row: unknown) =>
      row &&
      Object.fromEntries(Object.entries(row as Values).filter(([name]) => shown.includes(name)))
    return { ...entry, before: image(entry.before), after: image(entry.after) }
  }

  /** Rows that a column may refer to: those whose key is what was typed, and those that a search finds. */
  async choices({ context, params, query }: Asked): Promise<object[]> {
    const target = this.#target(this.#find(params.table).model, params.column)
    if (!target) return notFound('reference', params.column)
    const { table, column } = target
    await allow(table.reads.list, {}, context)
    const { search, value } = query
    const ask = async (wanted: Values) => {
      const input = { ...wanted, count: 'false', page_size: String(CHOICES) }
      const validate = this.#validator(`${table.model.table} list`, table.list.request)
      // What was typed need not be a key, nor what a search takes.
      return validate(input) ? (await table.list.paginate(context.db, input)).results : []
    }
    const key = value ?? search
    const exact = key ? await ask({ [`is_${column}`]: key }) : []
    const isFound = value === undefined && (!search || table.isSearched)
    const found = isFound ? await ask(search ? { search } : {}) : []
    const rows = new Map([...exact, ...found].map((row) => [String(row[column]), row]))
    return Array.from(rows.values(), (row) => ({ value: row[column], label: row[table.label] }))
  }

  async create({ context, params, body }: Asked): Promise<unknown> {
    const table = this.#find(params.table)
    const row = valuesIn(body, 'row')
    const made = await this.#call(writeOf(table, 'create'), row, context)
    return pick((made ?? {}) as Values, table.model.state.primaryKey)
  }

  async update({ context, params, body }: Asked): Promise<object> {
    const table = this.#find(params.table)
    const before = valuesIn(body, 'before')
    const row = valuesIn(body, 'row')
    const key = keyIn(table, before)
    const write = writeOf(table, 'update')
    await this.#whileSame(table, before, context, () =>
      this.#call(write, { ...row, ...placeOf(write, before), ...key }, context),
    )
    return key
  }

  async remove({ context, params, body }: Asked): Promise<object> {
    const table = this.#find(params.table)
    const before = valuesIn(body, 'before')
    const key = keyIn(table, before)
    const write = writeOf(table, 'remove')
    await this.#whileSame(table, before, context, () =>
      this.#call(write, { ...placeOf(write, before), ...key }, context),
    )
    return key
  }

  /**
   * Changes a row that is what it was when it was read. In one transaction, in which nobody else changes it meanwhile.
   *
   * @throws {PlinthError} PRECONDITION_FAILED with the row as it is; NOT_FOUND
   */
  async #whileSame(
    table: AdminModel,
    before: Values,
    context: Context,
    change: () => Promise<unknown>,
  ): Promise<void> {
    const { rows, reads, shown } = table
    const key = keyIn(table, before)
    await allow(reads.retrieve, key, context)
    await inTransaction(context.db, async (db) => {
      const row = pick(await rows.hold(db as never, key, context), shown)
      const others = shown.filter((name) => textOf(row[name]) !== textOf(before[name]))
      if (others.length > 0)
        throw errors.PRECONDITION_FAILED.with({
          // What is told of an error is JSON already.
          data: { row: JSON.parse(textOf(row)) },
          errors: others.map((name) => ({ path: `/${name}`, message: 'has changed' })),
        })
      await change()
    })
  }

  /** Calls a resource as modules do, and with no column that is not to be seen here. */
  async #call(
    { resource, name, access, fields }: Write,
    input: Values,
    context: Context,
  ): Promise<unknown> {
    const strange = Object.keys(input).filter((one) => !fields.some(({ name }) => name === one))
    const unknown = strange.map((one) => ({ path: `/${one}`, message: 'is not known here' }))
    if (unknown.length > 0) throw invalid(name, unknown)
    const { validate } = this.#compiled.of(resource).requestValidator
    if (!validate(input)) throw invalid(name, toDetails(validate.errors))
    return await execute({ resource, name, input, context, mode: 'cacheless', access }, ANSWER)
  }

  #find(name: string): AdminModel {
    return this.#tables.get(name) ?? notFound('table', name)
  }

  #read(name: string, schema: object, query: Values): Values {
    const validate = this.#validator(name, schema)
    if (!validate(query)) throw invalid(name, toDetails(validate.errors))
    return query
  }

  #validator(name: string, schema: object): ValidateFunction {
    const validate =
      this.#queries.get(name) ?? compileText(boundNumbers(closeSchema(schema as JsonSchema)))
    this.#queries.set(name, validate)
    return validate
  }
}

const ANSWER: Answer<unknown> = {
  text: ({ text }) => fromJson(text),
  data: (value) => value,
  check: (value) => value,
}

/** @throws {PlinthError} UNAUTHENTICATED, FORBIDDEN or NOT_FOUND where a module says that its reading is not for this user */
async function allow(reads: readonly Called[], input: Values, context: Context): Promise<void> {
  for (const called of reads) await authorize({ ...called, input, context, mode: 'cacheless' })
}

function valuesIn(body: unknown, name: string): Values {
  const values = (body as Record<string, unknown> | null | undefined)?.[name]
  if (typeof values === 'object' && values !== null && !Array.isArray(values)) return { ...values }
  throw invalid('the admin', [{ path: `/${name}`, message: 'must be an object of columns' }])
}

function writeOf({ model, writes }: AdminModel, action: AdminAction): Write {
  const message = `nobody may ${action} a ${model.table} here`
  return writes[action] ?? raise(errors.FORBIDDEN.with({ errors: [{ path: '', message }] }))
}

/** What a request says of where a row is, beside its key: what it is part of (`within`). */
function placeOf({ fields }: Write, row: Values): Values {
  const needed = fields.filter(({ required }) => required).map(({ name }) => name)
  return pick(row, needed)
}

function raise(error: Error): never {
  throw error
}

/** The key of the row that was read: all of it, as a query for nothing of it would find any row. */
function keyIn({ model, rows }: AdminModel, row: Values): Values {
  const key = pick(row, model.state.primaryKey)
  const validate = compileExact(boundNumbers(closeSchema(rows.request as never)))
  if (!validate(key)) throw invalid(model.table, toDetails(validate.errors))
  return key
}

function invalid(name: string, details: readonly ErrorDetail[]): Error {
  return errors.INVALID_REQUEST.with({ errors: details }, name)
}
