/**
 * Families to text, by prom-client's Registry. A registry of its own for each of the two formats, because prom-client
 * (15.1.3, lib/registry.js) takes `_total` off the name of a counter for good when it writes OpenMetrics: the text
 * format would lack it ever after.
 */

import type { Metric, OpenMetricsContentType, PrometheusContentType } from 'prom-client';
import collectDefaultMetrics from 'prom-client/lib/defaultMetrics.js';
import Registry from 'prom-client/lib/registry.js';
import type { Family, Sample } from './family.ts';

export interface Rendered {
  readonly contentType: string;
  readonly body: string;
}

/** What a Registry reads of a metric. Its values are only iterated, so they need not be an array. */
interface Readable {
  name: string;
  readonly help: string;
  readonly type: string;
  get(): Promise<{ name: string; help: string; type: string; values: Iterable<unknown> }>;
}

type AnyRegistry = Registry<PrometheusContentType> | Registry<OpenMetricsContentType>;

export class Exposition {
  readonly #text: AnyRegistry = new Registry();
  readonly #openMetrics: AnyRegistry;

  /** `processMetrics`: with prom-client's default metrics. They observe garbage collections from here on. */
  constructor(families: readonly Family[], options: { processMetrics: boolean }) {
    const openMetrics = new Registry<OpenMetricsContentType>();
    openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    this.#openMetrics = openMetrics;
    for (const family of families) {
      register(this.#text, readable(family, family.name));
      register(this.#openMetrics, readable(family, openMetricsName(family)));
    }
    if (options.processMetrics) this.#addProcessMetrics();
  }

  async render(openMetrics: boolean): Promise<Rendered> {
    const registry = openMetrics ? this.#openMetrics : this.#text;
    return { contentType: registry.contentType, body: await registry.metrics() };
  }

  #addProcessMetrics(): void {
    const own = new Registry();
    collectDefaultMetrics({ register: own });
    for (const metric of own.getMetricsAsArray() as unknown as Readable[]) {
      register(this.#text, metric);
      const name = openMetricsName(metric);
      register(this.#openMetrics, {
        name,
        help: metric.help,
        type: metric.type,
        get: async () => ({ ...(await metric.get()), name }),
      });
    }
  }
}

/** In OpenMetrics the name of a counter has no `_total`, only its samples have: prom-client adds it to those. */
function openMetricsName({ name, type }: { readonly name: string; readonly type: string }): string {
  return type === 'counter' ? name.replace(/_total$/, '') : name;
}

function readable(family: Family, name: string): Readable {
  const { help, type } = family;
  return { name, help, type, get: async () => ({ name, help, type, values: values(family.samples(), name) }) };
}

function* values(samples: Iterable<Sample>, name: string): Iterable<unknown> {
  for (const { labels, sharedLabels, suffix, value, exemplar } of samples) {
    yield { labels, sharedLabels, value, exemplar, metricName: suffix === undefined ? name : name + suffix };
  }
}

function register(registry: AnyRegistry, metric: Readable): void {
  // The type asks for prom-client's own classes; the registry needs no more than `Readable` has.
  registry.registerMetric(metric as unknown as Metric);
}
