/** What `/api/graph` says: who called whom, at a rate per second, with durations in seconds. Types only. */

export interface GraphNode {
  readonly id: string;
  readonly namespace: string;
  readonly service: string;
}

export interface GraphEdge {
  /** Ids of nodes. */
  readonly client: string;
  readonly server: string;
  /** '' for HTTP. */
  readonly connectionType: string;
  readonly rate: number;
  readonly errorRate: number;
  readonly p50?: number;
  readonly p99?: number;
  readonly bytesPerSecond: number;
}

export interface Graph {
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
}
