/** Whether a version of the kit comes before another, as semantic versioning orders the three numbers. */
export function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split(/[.+-]/, 3).map(Number)) as [
    number[],
    number[],
  ]
  const index = a.findIndex((part, at) => part !== b[at])
  return index >= 0 && (a[index] as number) < (b[index] ?? 0)
}
