import { createHash } from 'node:crypto'
import type { ValidateFunction } from 'ajv/dist/2019.js'
import type { FastifyInstance } from 'fastify'
import type { AnyDefined } from './contract.ts'
import { compilePick, type Pick } from './pick.ts'
import { completeSchema, type SharedSchemas } from './references.ts'
import { boundNumbers, closeSchema, hasDefaults, type JsonSchema } from './schema.ts'
import { compileSerializer } from './serialize.ts'
import { compileExact } from './validate.ts'

/** The schemas of a resource as they are in one app, complete in themselves, and what each is compiled to when it is first needed. */
export class CompiledResource {
  /** Takes nothing that it does not list. */
  readonly request: JsonSchema
  readonly response: JsonSchema
  #request: DataValidator | undefined
  #response: DataValidator | undefined
  #foreign: ForeignReader | undefined
  #writer: Writer | undefined

  constructor({ request, response }: AnyDefined, shared: SharedSchemas, name: string) {
    this.request = closeSchema(completeSchema(request, shared, name))
    this.response = completeSchema(response, shared, name)
  }

  get requestValidator(): DataValidator {
    this.#request ??= createValidator(boundNumbers(this.request))
    return this.#request
  }

  get responseValidator(): DataValidator {
    this.#response ??= createValidator(closeSchema(this.response))
    return this.#response
  }

  get foreignReader(): ForeignReader {
    this.#foreign ??= {
      validate: compileExact(boundNumbers(this.response)),
      pick: compilePick(this.response, () => this.writer.write),
    }
    return this.#foreign
  }

  get writer(): Writer {
    this.#writer ??= createWriter(this.response)
    return this.#writer
  }
}

/** Of data that is not text. */
export interface DataValidator {
  validate: ValidateFunction
  /** Defaults are written into the value: into a copy then. */
  copies: boolean
}

function createValidator(schema: JsonSchema): DataValidator {
  return { validate: compileExact(schema), copies: hasDefaults(schema) }
}

/** Of responses of other systems, which may have more than was agreed. */
export interface ForeignReader {
  /** Whether all is there that the schema wants; it may write defaults into the value. */
  validate: ValidateFunction
  /** What the schema lists of it. */
  pick: Pick
}

export interface Writer {
  /** A response as JSON, without what its schema does not list. */
  write: (response: unknown) => string
  /** Six characters that change with the response schema. */
  fingerprint: string
}

function createWriter(schema: JsonSchema): Writer {
  const hash = createHash('sha256').update(JSON.stringify(schema))
  return {
    write: compileSerializer(schema),
    fingerprint: hash.digest('base64url').slice(0, 6),
  }
}

/** The resources of one app, compiled. What their schemas refer to is that app's. */
export class CompiledResources {
  readonly #app: FastifyInstance
  readonly #known = new Map<AnyDefined, CompiledResource>()

  constructor(app: FastifyInstance) {
    this.#app = app
  }

  /**
   * @param scope where it is served: schemas that only its module knows count, too
   * @throws {PlinthError} RESOURCE_INVALID
   */
  add(resource: AnyDefined, name: string, scope: FastifyInstance): CompiledResource {
    const compiled = new CompiledResource(resource, scope.getSchemas() as SharedSchemas, name)
    this.#known.set(resource, compiled)
    return compiled
  }

  /** One that is called before its module is loaded knows the schemas of the app only. */
  of(resource: AnyDefined): CompiledResource {
    return this.#known.get(resource) ?? this.add(resource, resource.definition.summary, this.#app)
  }
}
