/** Reads fields of what JSON or YAML was parsed to, whatever it turned out to be. Absent and of another kind are the same. */

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
