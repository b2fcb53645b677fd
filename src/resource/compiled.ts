import { createHash } from 'node:crypto'
import type { ValidateFunction } from 'ajv/dist/2019.js'
import type { FastifyInstance } from 'fastify'
import { type DocumentSchema, ofDocument } from '../schema/document.ts'
import { boundNumbers, closeSchema, hasDefaults, type JsonSchema } from '../schema/json-schema.ts'
import { compilePick, type Pick } from '../schema/pick-listed.ts'
import { completeSchema, type SharedSchemas } from '../schema/references.ts'
import { compileSerializer } from '../schema/serialize.ts'
import { compileExact } from '../schema/validate.ts'
import type { AnyDefined } from './contract.ts'

/** The schemas of a resource as they are in one app, complete in themselves, and what each is compiled to when it is first needed. */
export class CompiledResource {
  readonly #complete: (schema: JsonSchema) => JsonSchema
  readonly #defined: AnyDefined
  #requestSchema: JsonSchema | undefined
  #responseSchema: JsonSchema | undefined
  #request: DataValidator | undefined
  #response: DataValidator | undefined
  #foreign: ForeignReader | undefined
  #writer: Writer | undefined

  constructor(resource: AnyDefined, shared: SharedSchemas, name: string) {
    this.#defined = resource
    this.#complete = (schema) => completeSchema(ofDocument(schema)?.read() ?? schema, shared, name)
    // That of a document is read when it is first needed; of any other it is told now where it cannot be used.
    const { request, response } = resource
    if (!ofDocument(request)) this.#requestSchema = closeSchema(this.#complete(request))
    if (!ofDocument(response)) this.#responseSchema = this.#complete(response)
  }

  /** Takes nothing that it does not list. */
  get request(): JsonSchema {
    this.#requestSchema ??= closeSchema(this.#complete(this.#defined.request))
    return this.#requestSchema
  }

  get response(): JsonSchema {
    this.#responseSchema ??= this.#complete(this.#defined.response)
    return this.#responseSchema
  }

  get requestValidator(): DataValidator {
    this.#request ??= createValidator(boundNumbers(this.request))
    return this.#request
  }

  get responseValidator(): DataValidator {
    const schema = ofDocument(this.#defined.response)
    this.#response ??= schema
      ? { validate: schema.validate, copies: false }
      : createValidator(closeSchema(this.response))
    return this.#response
  }

  /** Compiles what its response is held to, which is done with the first one otherwise. */
  prepareResponse(): void {
    void this.responseValidator
  }

  get foreignReader(): ForeignReader {
    this.#foreign ??= readerOf(ofDocument(this.#defined.response)) ?? {
      validate: compileExact(boundNumbers(this.response)),
      pick: compilePick(this.response),
    }
    return this.#foreign
  }

  get writer(): Writer {
    this.#writer ??= writerOf(ofDocument(this.#defined.response)) ?? createWriter(this.response)
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

function readerOf(schema: DocumentSchema | undefined): ForeignReader | undefined {
  return schema && { validate: schema.validate, pick: (value) => schema.pick(value) }
}

export interface Writer {
  /** A response as JSON, without what its schema does not list. */
  write: (response: unknown) => string
  /** Six characters that change with the response schema. */
  fingerprint: string
}

function writerOf(schema: DocumentSchema | undefined): Writer | undefined {
  return (
    schema && {
      write: (response) => JSON.stringify(schema.pick(response)),
      fingerprint: schema.fingerprint,
    }
  )
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
