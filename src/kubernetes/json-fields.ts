/**
 * Reads fields of what JSON or YAML was parsed to, whatever it turned out to be. Absent and of another kind are the same. For
 * objects of the API the compiler checks the names of fields; the values are anybody's.
 */

type Name<T> = keyof NonNullable<T>;
type At<T, N extends Name<T>> = NonNullable<T>[N];

interface FieldOf<T> {
  (from: unknown, a: Name<T>): unknown;
  <A extends Name<T>>(from: unknown, a: A, b: Name<At<T, A>>): unknown;
  <A extends Name<T>, B extends Name<At<T, A>>>(from: unknown, a: A, b: B, c: Name<At<At<T, A>, B>>): unknown;
}

/** `fieldOf<V1Pod>()(object, 'metadata', 'name')` */
export function fieldOf<T>(): FieldOf<T> {
  return field as FieldOf<T>;
}

/** `field(pod, 'metadata', 'name')` */
export function field(from: unknown, ...names: readonly string[]): unknown {
  let value = from;
  for (const name of names) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

/** undefined also for ''. */
export function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

export function items(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Pairs of strings: labels, annotations, a selector. */
export function pairs(value: unknown): readonly (readonly [string, string])[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  return Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string');
}
