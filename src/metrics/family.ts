/**
 * What a metric family is to the exposition: a name, a type, its labels, and samples that are read when somebody
 * scrapes. Also the one place where strings of the outside world become label values.
 */

export type Labels = Readonly<Record<string, string | number>>;

export interface Sample {
  /** Of this line alone: a histogram's `le`. */
  readonly labels: Labels;
  /** Of all lines of a series. One object per series for its whole life: prom-client caches its text by identity. */
  readonly sharedLabels?: Labels;
  /** `_bucket`, `_sum`, `_count` of a histogram. */
  readonly suffix?: string;
  readonly value: number;
  /** Of a bucket. Only OpenMetrics shows it. */
  readonly exemplar?: Exemplar | undefined;
}

/** An observation of a bucket, with the trace that it belongs to. */
export interface Exemplar {
  readonly labelSet: { readonly trace_id: string; readonly span_id: string };
  /** Seconds. */
  readonly value: number;
  /** Unix time in seconds. */
  readonly timestamp: number;
}

export interface Family {
  /** As in the text format: a counter ends in `_total`. */
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** In the order in which they are written, without `le`. */
  readonly labelNames: readonly string[];
  /** At this moment, sorted by label values. */
  samples(): Iterable<Sample>;
}

/** The value of `service` (or of the last label that names a workload) in an overflow series; the others are empty. */
export const OVERFLOW = '_overflow';

/** Longest label value, in UTF-16 units: twice what a Kubernetes name other than a pod's can have (RFC 1123 label). */
const VALUE_LIMIT = 128;
/** A pod's name may have 253 (RFC 1123 subdomain), and is joined with other exporters' metrics, so it is kept whole. */
const POD_LIMIT = 253;

const PLAIN = /^[\x20-\x7e]*$/;
/**
 * Control characters but for newline, which the format can escape: a NUL ends the input of Prometheus' lexer, a
 * carriage return breaks line-based readers. Halves of surrogate pairs have no UTF-8.
 */
const UNSAFE = /(?!\n)[\p{Cc}\p{Cs}]/gu;

/** A label value that any reader of the format takes: well-formed, without control characters, of limited length. */
export function labelValue(name: string, text: string): string {
  const limit = name === 'pod' ? POD_LIMIT : VALUE_LIMIT;
  const cut = text.length > limit ? text.slice(0, limit) : text;
  return PLAIN.test(cut) ? cut : cut.replace(UNSAFE, '\ufffd');
}

/** Orders label tuples: NUL, which no label value contains, is less than any other character. */
export function tupleKey(values: readonly string[]): string {
  return values.join('\0');
}

export function compareKeys(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
