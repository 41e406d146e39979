/**
 * What a client accepts (RFC 9110 sections 12.4.2, 12.5.1 and 12.5.3), as far as it decides between two formats and
 * between gzip and none. The header fields are bounded by the server's limit on the size of a request head.
 */

interface Preference {
  /** Lower case: a media type or a content coding. */
  readonly name: string;
  readonly version: string | undefined;
  /** 0..1; 0 means never. */
  readonly weight: number;
}

function preferences(field: string | undefined): readonly Preference[] {
  if (field === undefined) return [];
  return field.split(',').map((item) => {
    const [name = '', ...parameters] = item.split(';').map((part) => part.trim().toLowerCase());
    let version: string | undefined;
    let weight = 1;
    for (const parameter of parameters) {
      if (parameter.startsWith('version=')) version = parameter.slice('version='.length).replaceAll('"', '');
      if (parameter.startsWith('q=')) {
        const q = Number(parameter.slice('q='.length));
        weight = q >= 0 && q <= 1 ? q : 0;
      }
    }
    return { name, version, weight };
  });
}

/** The weight of the most specific entry that fits, in the order given; 0 when none does. */
function weightOf(accepted: readonly Preference[], names: readonly string[]): number {
  for (const name of names) {
    const weights = accepted.filter((entry) => entry.name === name).map(({ weight }) => weight);
    if (weights.length > 0) return Math.max(...weights);
  }
  return 0;
}

/** Only when it is named, in version 1.0.0 or any, and plain text is not preferred: a browser or curl gets text. */
export function wantsOpenMetrics(accept: string | undefined): boolean {
  const accepted = preferences(accept);
  const usable = accepted.filter(({ version }) => version === undefined || version === '1.0.0');
  const openMetrics = weightOf(usable, ['application/openmetrics-text']);
  return openMetrics > 0 && openMetrics >= weightOf(accepted, ['text/plain', 'text/*']);
}

export function acceptsGzip(acceptEncoding: string | undefined): boolean {
  return weightOf(preferences(acceptEncoding), ['gzip', 'x-gzip', '*']) > 0;
}
