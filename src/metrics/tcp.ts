/**
 * TCP connections by workload, peer and serving port, and retransmits (`node_tcp_retransmits_total`, `tcp_*`). What is observed
 * comes as differences, some times a minute: nothing here is on a path of traffic.
 *
 * Limit: 65,536 pairs of role, peer and port get a number; those beyond it share one whose peer is `_overflow`.
 */

import type { Role } from '../stream/contract.ts';
import { WorkloadCounter } from './counter.ts';
import { labelValue, OVERFLOW, tupleKey } from './family.ts';
import { DurationHistogram } from './histogram.ts';
import type { Workload, WorkloadFamily, WorkloadLabel } from './series.ts';

const WORKLOAD: readonly WorkloadLabel[] = ['namespace', 'pod', 'service'];
const TO = ['role', 'dest_namespace', 'dest_service', 'dest_port'] as const;
const TUPLES_LIMIT = 65_536;

/** The other end of a flow. */
export interface Destination {
  readonly role: Role;
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
}

/** What is new of a flow; the histograms are in the buckets that the families were made with. */
export interface TcpChange {
  readonly opened: number;
  readonly failed: Float64Array;
  readonly retransmits: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly connect: Float64Array;
  readonly connectUs: number;
  readonly rtt: Float64Array;
  readonly rttUs: number;
  readonly active: number;
}

/** Tuples of label values as small numbers. */
class Tuples {
  readonly #values: (readonly string[])[];
  readonly #ids = new Map<string, number>();

  constructor(overflow: readonly string[]) {
    this.#values = [overflow];
  }

  id(values: readonly string[]): number {
    const key = tupleKey(values);
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    if (this.#values.length >= TUPLES_LIMIT) return 0;
    const id = this.#values.push(values) - 1;
    this.#ids.set(key, id);
    return id;
  }

  values(id: number): readonly string[] {
    return this.#values[id] ?? this.#values[0]!;
  }
}

export interface TcpMetricsOptions {
  readonly maxSeries: number;
  /** Seconds, rising. */
  readonly buckets: readonly number[];
  readonly reasons: readonly string[];
}

export class TcpMetrics {
  readonly #to = new Tuples(['', '', OVERFLOW, '0']);
  readonly #reasons: readonly string[];
  readonly #retransmits: WorkloadCounter;
  readonly #opened: WorkloadCounter;
  readonly #failed: WorkloadCounter;
  readonly #active: WorkloadCounter;
  readonly #sent: WorkloadCounter;
  readonly #received: WorkloadCounter;
  readonly #connect: DurationHistogram;
  readonly #rtt: DurationHistogram;

  constructor({ maxSeries, buckets, reasons }: TcpMetricsOptions) {
    this.#reasons = reasons;
    const to = (variant: number) => this.#to.values(variant);
    const layout = { workloadLabels: WORKLOAD, variantLabels: TO, decode: to, maxSeries };
    const counter = (name: string, help: string) => new WorkloadCounter({ ...layout, name, help });
    const peerOnly = { ...layout, variantLabels: TO.slice(1), decode: (variant: number) => to(variant).slice(1) };
    this.#retransmits = new WorkloadCounter({
      name: 'node_tcp_retransmits_total',
      help: 'TCP segments sent again, as TcpRetransSegs counts them: SYN (of the client) and SYN-ACK (of who listens) among them.',
      workloadLabels: WORKLOAD,
      variantLabels: ['dest_port'],
      decode: (variant) => [String(variant)],
      maxSeries,
    });
    this.#opened = counter('tcp_connections_opened_total', 'TCP connections that were opened, by either side.');
    this.#failed = new WorkloadCounter({
      name: 'tcp_connections_failed_total',
      help: 'TCP connections that were not opened, or ended other than in order, by reason.',
      workloadLabels: WORKLOAD,
      variantLabels: [...TO, 'reason'],
      decode: (variant) => [...to(Math.floor(variant / 8)), this.#reasons[variant % 8] ?? 'error'],
      maxSeries,
    });
    this.#active = new WorkloadCounter({
      name: 'tcp_connections_active',
      help: 'TCP connections that are open.',
      type: 'gauge',
      workloadLabels: WORKLOAD,
      variantLabels: ['role'],
      decode: (variant) => [variant === 1 ? 'server' : 'client'],
      maxSeries,
    });
    this.#sent = counter('tcp_sent_bytes_total', 'Payload bytes sent over TCP, each once however often it was sent.');
    this.#received = counter('tcp_received_bytes_total', 'Payload bytes received over TCP, in order.');
    this.#connect = new DurationHistogram({
      ...peerOnly,
      name: 'tcp_connect_duration_seconds',
      help: 'Time from the first SYN to the answer, of connections that a client opened.',
      buckets,
    });
    this.#rtt = new DurationHistogram({
      ...peerOnly,
      name: 'tcp_rtt_seconds',
      help: 'Smoothed round-trip time, at the end of a connection and every ten seconds in which it moved bytes.',
      buckets,
    });
  }

  get families(): readonly WorkloadFamily[] {
    return [
      this.#retransmits,
      this.#opened,
      this.#failed,
      this.#active,
      this.#sent,
      this.#received,
      this.#connect,
      this.#rtt,
    ];
  }

  /** Before the changes of a reading: each tells of the connections that are open now. */
  begin(): void {
    this.#active.clear();
  }

  flow(owner: Workload, to: Destination, change: TcpChange): void {
    const namespace = labelValue('dest_namespace', to.namespace);
    const variant = this.#to.id([to.role, namespace, labelValue('dest_service', to.service), String(to.port)]);
    if (change.retransmits > 0) this.#retransmits.add(owner, to.port, change.retransmits);
    if (change.opened > 0) this.#opened.add(owner, variant, change.opened);
    for (const [reason, count] of change.failed.entries()) {
      if (count > 0) this.#failed.add(owner, variant * 8 + reason, count);
    }
    if (change.active > 0) this.#active.add(owner, to.role === 'server' ? 1 : 0, change.active);
    if (change.sentBytes > 0) this.#sent.add(owner, variant, change.sentBytes);
    if (change.receivedBytes > 0) this.#received.add(owner, variant, change.receivedBytes);
    if (change.connect.some((count) => count > 0)) {
      this.#connect.add(owner, variant, change.connect, change.connectUs * 1000);
    }
    if (change.rtt.some((count) => count > 0)) this.#rtt.add(owner, variant, change.rtt, change.rttUs * 1000);
  }
}
