/** Gives names that are identifiers, each once. */
export class Names {
  readonly #taken: Set<string>

  /** @param reserved what nothing may be called */
  constructor(reserved: Iterable<string> = []) {
    this.#taken = new Set(reserved)
  }

  /** `wanted`, or with a number where that is taken. */
  take(wanted: string): string {
    let name = wanted
    for (let i = 2; this.#taken.has(name); i++) name = `${wanted}${i}`
    this.#taken.add(name)
    return name
  }
}

/** `users/get-by-name` as `usersGetByName`. */
export function camelCase(text: string): string {
  const name = pascalCase(text)
  return name.charAt(0).toLowerCase() + name.slice(1)
}

/** `io.k8s.api.core.v1.Pod` as `IoK8sApiCoreV1Pod`; nothing of what is no letter or digit stays. */
export function pascalCase(text: string): string {
  const words = text.normalize('NFC').match(/[\p{L}\p{Nl}\p{Nd}]+/gu) ?? []
  const name = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('')
  if (name === '') return 'Unnamed'
  return IDENTIFIER.test(name) ? name : `N${name}`
}

const IDENTIFIER = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u

/** `name` as it stands before a colon in TypeScript. */
export function propertyName(name: string): string {
  return IDENTIFIER.test(name) ? name : JSON.stringify(name)
}

/** What a table cannot have under that name: it would be taken for a promise, or hide what every object has. */
export const RESERVED: readonly string[] = ['then', ...Object.getOwnPropertyNames(Object.prototype)]
