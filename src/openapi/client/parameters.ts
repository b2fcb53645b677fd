import type { JsonSchema } from '../../schema/json-schema.ts'
import type { Style } from './define-operations.ts'
import { type Json, LeftOut } from './document.ts'
import type { Found } from './find-operations.ts'
import { Names } from './names.ts'
import { OF_EVERY_OBJECT, type Schemas } from './schemas.ts'

/** One parameter of an operation, and the property of the request that it comes from. */
export interface Parameter {
  property: string
  name: string
  place: 'path' | 'query' | 'header'
  schema: JsonSchema
  required: boolean
  style: Style | undefined
}

/** Reads the parameters of the operations of one document. */
export class ParameterReader {
  readonly #schemas: Schemas

  constructor(schemas: Schemas) {
    this.#schemas = schemas
  }

  /**
   * @param notes takes what of them is left out
   * @throws {LeftOut}
   */
  read({ operation, item, path }: Found, notes: string[]): Parameter[] {
    const byPlace = new Map<string, Json>()
    for (const list of [item.parameters, operation.parameters]) {
      for (const one of Array.isArray(list) ? list : []) {
        const parameter = this.#schemas.resolve(one)
        // That of the operation replaces that of its path.
        byPlace.set(`${parameter.in} ${parameter.name}`, parameter)
      }
    }
    const parameters: Parameter[] = []
    const properties = new Names()
    for (const place of ['path', 'query', 'header', 'cookie']) {
      for (const parameter of byPlace.values()) {
        if (parameter.in !== place) continue
        const read = this.#parameter(parameter, properties, notes)
        if (read) parameters.push(read)
      }
    }
    const outside = path.split(/\{[^{}]*\}/).join('')
    if (!/^[\x21-\x7e]*$/.test(outside) || /[?#\\{}]/.test(outside))
      throw new LeftOut('its path is none of an address')
    const [known, wanted] = [
      parameters.filter(({ place }) => place === 'path').map(({ name }) => name),
      Array.from(path.matchAll(/\{([^{}]*)\}/g), ([, name = '']) => name),
    ]
    const missing = wanted.find((name) => !known.includes(name))
    if (missing !== undefined)
      throw new LeftOut(`its path has {${missing}}, of which no parameter tells`)
    const twice = wanted.find((name, index) => wanted.indexOf(name) < index)
    if (twice !== undefined) throw new LeftOut(`its path has {${twice}} twice`)
    return parameters.filter(({ place, name }) => place !== 'path' || wanted.includes(name))
  }

  #parameter(parameter: Json, properties: Names, notes: string[]): Parameter | undefined {
    const { name, in: place, content, required } = parameter
    if (typeof name !== 'string' || name === '') throw new LeftOut('a parameter of it has no name')
    if (OF_EVERY_OBJECT.has(name)) throw new LeftOut(`a parameter of it is called ${name}`)
    if (place === 'header' && IGNORED.includes(name.toLowerCase())) return undefined
    if (place === 'cookie' || (place === 'header' && !TOKEN.test(name))) {
      const problem = place === 'cookie' ? `the cookie ${name}` : `the header ${name}`
      if (required === true) throw new LeftOut(`it needs ${problem}, which cannot be sent`)
      notes.push(`${problem} is not sent`)
      return undefined
    }
    if (content !== undefined) throw new LeftOut(`its parameter ${name} has a media type`)
    const where = place as Parameter['place']
    return {
      property: properties.take(name),
      name,
      place: where,
      schema: { ...this.#schemas.read(parameter.schema ?? {}), ...told(parameter) },
      required: required === true || where === 'path',
      style: this.#styleOf(parameter, where),
    }
  }

  #styleOf({ name, style, explode, schema }: Json, place: Parameter['place']): Style | undefined {
    if (place !== 'query') {
      if (style === undefined || style === 'simple') return undefined
      throw new LeftOut(`its parameter ${name} has the style ${style}`)
    }
    switch (style ?? 'form') {
      case 'form': {
        if (explode === false) return 'comma'
        const { type } = this.#schemas.unfold(this.#schemas.read(schema ?? {}))
        if (type === 'object') throw new LeftOut(`its parameter ${name} is an object in pieces`)
        return undefined
      }
      case 'deepObject':
        return 'deep'
      case 'spaceDelimited':
        return explode === true ? undefined : 'space'
      case 'pipeDelimited':
        return explode === true ? undefined : 'pipe'
      default:
        throw new LeftOut(`its parameter ${name} has the style ${style}`)
    }
  }
}

/** OpenAPI says of them that they mean nothing as parameters. */
const IGNORED = ['accept', 'content-type', 'authorization']
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/

function told({ description, deprecated }: Json): JsonSchema {
  return {
    ...(typeof description === 'string' && { description }),
    ...(deprecated === true && { deprecated }),
  }
}
