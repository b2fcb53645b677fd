import { createHash } from 'node:crypto'
import type { ValidateFunction } from 'ajv/dist/2019.js'
import type { TUnsafe } from 'typebox'
import { boundNumbers, type JsonSchema } from './json-schema.ts'
import { Listed } from './pick-listed.ts'
import { compileByReference } from './validate.ts'

/**
 * Many schemas that refer to one another as `#/$defs/NAME`: those of another system, megabytes of them. Nothing is read before the first is
 * needed, and each is compiled when a value first reaches it.
 */
export class SchemaDocument {
  readonly #read: () => Record<string, JsonSchema>
  readonly #lists = new Map<string, readonly JsonSchema[]>()
  #definitions: Record<string, JsonSchema> | undefined
  #fingerprint: string | undefined
  #listed: Listed | undefined
  #compile: ((name: string) => ValidateFunction) | undefined

  /** @param read gives the `$defs`, once */
  constructor(read: () => Record<string, JsonSchema>) {
    this.#read = read
  }

  /** The one that is called `name`, to be the request or the response of a resource. */
  schema<T>(name: string): TUnsafe<T> {
    return { [MEMBER]: new DocumentSchema(this, name) } as object as TUnsafe<T>
  }

  get definitions(): Record<string, JsonSchema> {
    this.#definitions ??= this.#read()
    return this.#definitions
  }

  /** Six characters that change with any of them. */
  get fingerprint(): string {
    this.#fingerprint ??= createHash('sha256')
      .update(JSON.stringify(this.definitions))
      .digest('base64url')
      .slice(0, 6)
    return this.#fingerprint
  }

  /** Whether a value is as `name` says; it may have more. */
  validatorOf(name: string): ValidateFunction {
    this.#compile ??= compileByReference((one) => boundNumbers(this.definitions[one] as JsonSchema))
    return this.#compile(name)
  }

  /** `value` without what `name` does not list. */
  pick(name: string, value: unknown): unknown {
    this.#listed ??= new Listed(this.definitions)
    let schemas = this.#lists.get(name)
    if (!schemas) {
      schemas = [this.definitions[name] as JsonSchema]
      this.#lists.set(name, schemas)
    }
    return this.#listed.pick(schemas, value)
  }
}

const MEMBER = Symbol('plinth.schema.document')

/** One schema of a document. */
export class DocumentSchema {
  readonly #document: SchemaDocument
  readonly #name: string

  constructor(document: SchemaDocument, name: string) {
    this.#document = document
    this.#name = name
  }

  /** With all that it may refer to. */
  read(): JsonSchema {
    const { definitions } = this.#document
    return { ...definitions[this.#name], $defs: definitions }
  }

  get validate(): ValidateFunction {
    return this.#document.validatorOf(this.#name)
  }

  pick(value: unknown): unknown {
    return this.#document.pick(this.#name, value)
  }

  get fingerprint(): string {
    return this.#document.fingerprint
  }
}

/** What `schema` is of a document; `undefined`: it is of none. */
export function ofDocument(schema: unknown): DocumentSchema | undefined {
  return (schema as { [MEMBER]?: DocumentSchema })[MEMBER]
}
