/**
 * The composition root of the live agent: the only place where the kernel's programs, the pipeline, the processes and
 * the metrics meet. Everything runs on one thread: a timer drains the ring in batches and looks for new processes.
 */

import { hostname, release } from 'node:os';
import { COUNTER } from './abi/events.ts';
import { EventDecoder, type ProcessHint } from './capture/event-decoder.ts';
import { TlsBytes } from './capture/tls-bytes.ts';
import type { AgentHandle, Recorder, StartOptions, SummaryLine } from './cli/agent-contract.ts';
import type { Config } from './config.ts';
import { fanOut, tee } from './fan-out.ts';
import { PROTOCOLS } from './http/registry.ts';
import type { Kubernetes } from './kubernetes/kubernetes.ts';
import { allTlsLibraries, hostMachine, socketLayouts } from './libraries.ts';
import type { Log } from './log.ts';
import { Metrics } from './metrics/metrics.ts';
import { native } from './native.ts';
import { instructionText } from './probes/mnemonic.ts';
import { planProbes } from './probes/plan.ts';
import { otherAgents } from './process/other-agents.ts';
import { ProcFs } from './process/procfs.ts';
import { Programs } from './programs.ts';
import { fromRoot, packageVersion } from './root.ts';
import type { ConnectionInfo } from './stream/contract.ts';
import { LatePeers } from './stream/late-peers.ts';
import { Streams } from './stream/streams.ts';
import { STEP_SECONDS } from './summary/steps.ts';
import { readSelection, SummaryBoard } from './summary/summary.ts';
import { Discovery } from './tls/discovery.ts';
import { type AttachedLibrary, socketFacts } from './tls/process-tls.ts';
import { Topology } from './topology.ts';
import { readPage } from './web/page-files.ts';
import { WebServer } from './web/server.ts';
import { clusterPeers, findCluster, Workloads } from './workloads.ts';

/** A batch that came full says that the next one is waiting; an empty ring can wait this long. */
const DRAIN_BUSY_MS = 5;
const DRAIN_IDLE_MS = 20;
/** Batches in a row before timers and sockets have their turn. */
const BATCHES_PER_TURN = 16;
const SWEEP_MS = 5_000;
/** Compiling hot code takes some 10 MB for moments, which malloc keeps unless it is told. Takes microseconds when there is nothing. */
const TRIM_MS = 1_000;
/** What a minute has not touched of Node.js' own file is given back, which takes a few milliseconds; other agents are looked for. */
const TICKS_PER_MINUTE = 60;
/** As many as the kernel side tracks of each kind. */
const MAX_CONNECTIONS = 32_768;

export async function startAgent(config: Config, options: StartOptions): Promise<AgentHandle> {
  const agent = new Agent(config, options, await findCluster(config, options.log));
  try {
    await agent.start();
  } catch (error) {
    await agent.stop();
    throw error;
  }
  return agent;
}

class Agent implements AgentHandle {
  readonly wallOffsetNs = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
  webAddress?: { readonly host: string; readonly port: number };
  readonly #log: Log;
  readonly #onlyPid: number;
  readonly #web: boolean;
  readonly #recorder: Recorder | undefined;
  readonly #proc: ProcFs;
  readonly #programs: Programs;
  readonly #workloads: Workloads;
  readonly #discovery: Discovery;
  readonly #metrics: Metrics;
  readonly #summary: SummaryBoard;
  readonly #tlsBytes: TlsBytes;
  readonly #latePeers: LatePeers;
  readonly #topology: Topology;
  readonly #streams: Streams;
  readonly #decoder: EventDecoder;
  #config: Config;
  #server: WebServer | undefined;
  #drainTimer: NodeJS.Timeout | undefined;
  #drainSoon: NodeJS.Immediate | undefined;
  #sweepTimer: NodeJS.Timeout | undefined;
  #trimTimer: NodeJS.Timeout | undefined;
  #stepTimer: NodeJS.Timeout | undefined;
  #ticks = 0;
  #ready = false;
  #stopped: Promise<void> | undefined;

  constructor(
    config: Config,
    { log, web, sinks = [], recorder, onlyPid = 0 }: StartOptions,
    kubernetes: Kubernetes | undefined,
  ) {
    this.#config = config;
    this.#log = log;
    this.#web = web;
    this.#onlyPid = onlyPid;
    this.#recorder = recorder;
    const addon = native();
    addon.setLog((level, message) => log.debug(message.trim(), { libbpf: level }));
    this.#programs = Programs.load(addon, config, log);
    const proc = new ProcFs(config.procRoot);
    this.#proc = proc;
    this.#discovery = new Discovery({
      proc,
      mapFile: (path) => addon.mapFile(path),
      plan: (view, fn, signature) => {
        const attachCookie = this.#programs.isEnabled('attach_cookie');
        return planProbes(view, fn, signature, { returnProbe: this.#programs.returnProbe, attachCookie });
      },
      instruction: instructionText,
      layouts: socketLayouts(hostMachine(), this.#programs.isEnabled('attach_cookie')),
      libraries: allTlsLibraries(),
      attach: { attach: (path, sites) => this.#programs.attachTls(path, sites) },
      log,
    });
    this.#topology = new Topology({
      ...{ config, log },
      ownerOf: (pid, hint) => this.#workloads.label(this.#workloads.processes.owner(pid, hint)),
      counted: (owner) => this.#workloads.counted(owner),
      ...(kubernetes === undefined ? {} : { peers: clusterPeers(kubernetes) }),
    });
    this.#metrics = new Metrics({
      buckets: config.buckets,
      maxSeries: config.maxSeries,
      families: web ? this.#topology.families : [],
      wallOffsetSeconds: Number(this.wallOffsetNs) / 1e9,
      build: { version: packageVersion(), kernel: release(), arch: process.arch },
      self: {
        features: () => this.#features(),
        tlsProcesses: () => this.#tlsProcesses(),
        eventsByKind: () => ({
          ...this.#decoder.eventsByKind(),
          quic: this.#programs.counters()[COUNTER.QUIC]!,
        }),
        lost: () => this.#lost(),
        connections: () => ({ connection: this.#streams.stats.connections, tls: this.#decoder.tlsConnections }),
        bindings: () => this.#bindings(),
        unplaced: () => this.#topology.unplaced(this.#programs.counters()),
        capturedBytes: () => this.#programs.counters()[COUNTER.CAPTURED_BYTES]!,
        ...(kubernetes === undefined ? {} : { kubernetes: () => this.#workloads.numbers()! }),
      },
      report: (metric, error) => log.once(`metric ${metric}`, 'error', `metric ${metric}: ${(error as Error).message}`),
    });
    this.#summary = new SummaryBoard({
      identity: { version: packageVersion(), kernel: release(), arch: process.arch, node: hostname() },
      buckets: config.buckets,
      source: {
        features: () => this.#features(),
        lost: () => this.#lost(),
        connections: () => ({ connection: this.#streams.stats.connections }),
        tlsProcesses: () => this.#tlsServices(),
        tlsBytes: () => {
          this.#tlsBytes.update(this.#programs.tlsProcesses());
          return this.#metrics.tlsWorkloads();
        },
        series: () => this.#metrics.series(),
        cpuMicroseconds: () => {
          const { user, system } = process.cpuUsage();
          return user + system;
        },
        residentBytes: () => process.memoryUsage.rss(),
        capturedBytes: () => this.#programs.counters()[COUNTER.CAPTURED_BYTES]!,
      },
      graph: true,
    });
    this.#workloads = new Workloads({
      ...{ config, proc, kubernetes, log },
      programs: this.#programs,
      metrics: this.#metrics,
      sink: fanOut([this.#metrics, ...(web ? [this.#summary.sink, this.#topology.requests] : []), ...sinks]),
    });
    this.#tlsBytes = new TlsBytes((pid, plaintextBytes, ciphertextBytes) =>
      this.#metrics.tlsBytes(this.#labelsOf(pid), plaintextBytes, ciphertextBytes),
    );
    this.#latePeers = new LatePeers(this.#workloads.sink);
    this.#streams = new Streams({
      protocols: PROTOCOLS,
      sink: this.#latePeers,
      maxConnections: MAX_CONNECTIONS,
      ownerOf: (pid) => this.#ownerOf(pid),
      describe: (id, pid): ConnectionInfo => ({
        id,
        owner: this.#ownerOf(pid),
        scheme: this.#decoder.isTls(id) ? 'https' : 'http',
        local: undefined,
        remote: undefined,
      }),
    });
    const sink = recorder ? tee(this.#streams, recorder) : this.#streams;
    this.#decoder = new EventDecoder(this.#programs.ring.batch, sink, {
      owner: (pid, hint) => this.#workloads.processes.owner(pid, hint),
      exec: (pid, hint) => this.#onExec(pid, hint),
      exit: (pid) => this.#onExit(pid),
      tlsSeen: (pid) => this.#discovery.tlsSeen(pid),
      tlsReleased: (pid, ssl) => this.#programs.deleteTlsStream(pid, ssl),
      cgroupMade: (id, path) => this.#workloads.cgroupMade(id, path),
      cgroupGone: (id) => this.#workloads.cgroupGone(id),
    });
  }

  async start(): Promise<void> {
    const { excludeComm } = this.#config;
    this.#programs.configure({ selfPid: process.pid, onlyPid: this.#onlyPid, excludeComm });
    // Processes first: what starts during the scan is then heard of.
    this.#programs.attachProcess();
    await this.#workloads.start(this.#config);
    if (this.#programs.isEnabled('tls')) {
      if (this.#onlyPid > 0) this.#discovery.scan(this.#onlyPid);
      else this.#discovery.scanAll();
      // Who they are, as long as they can be asked: no exec event has told of them.
      for (const { pid } of this.#discovery.processes()) this.#workloads.processes.owner(pid);
    }
    this.#programs.attachSockets();
    if (this.#web) {
      await this.#topology.start(this.#programs.attachTcp());
      this.#server = new WebServer({
        listen: this.#config.listen,
        metrics: (openMetrics) => this.#render(openMetrics),
        graph: () => this.#topology.graph(),
        ready: () => this.#readiness(),
        status: () => this.status(),
        summary: (query) => this.#summary.render(readSelection(query)),
        page: readPage(fromRoot('build/web')),
        report: (error) => this.#log.warn(`web: ${(error as Error).message}`),
      });
      this.webAddress = await this.#server.start();
    }
    // What the start needed (types of the kernel, ELF tables, compiled code) is garbage now; V8 alone would let it lie.
    globalThis.gc?.();
    native().trimMemory();
    native().releaseFilePages();
    this.#ready = true;
    if (this.#web) this.#warnOfOthers();
    this.#sweepTimer = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#trimTimer = setInterval(() => this.#tick(), TRIM_MS);
    this.#summary.begin();
    if (this.#web) this.#stepTimer = setInterval(() => this.#summary.advance(), STEP_SECONDS * 1000);
    this.#drainTimer = setTimeout(() => this.#turn(), DRAIN_BUSY_MS);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#ready = false;
    clearTimeout(this.#drainTimer);
    clearImmediate(this.#drainSoon);
    clearInterval(this.#sweepTimer);
    clearInterval(this.#trimTimer);
    clearInterval(this.#stepTimer);
    this.#topology.stop();
    this.#discovery.close();
    this.#programs.detach();
    // What was on its way when the probes went still counts; the bound is for a ring that fills faster than we read.
    this.#drain(1024);
    this.#latePeers.release();
    await this.#workloads.stop();
    await this.#server?.close();
    this.#programs.close();
    native().setLog(undefined);
  }

  reload(config: Config): void {
    this.#config = config;
    this.#programs.configure({ selfPid: process.pid, onlyPid: this.#onlyPid, excludeComm: config.excludeComm });
    this.#workloads.reload(config);
  }

  #turn(): void {
    this.#discovery.tick(performance.now());
    const batches = this.#drain(BATCHES_PER_TURN);
    this.#latePeers.tick(performance.now());
    if (batches >= BATCHES_PER_TURN) this.#drainSoon = setImmediate(() => this.#turn());
    else this.#drainTimer = setTimeout(() => this.#turn(), batches > 0 ? DRAIN_BUSY_MS : DRAIN_IDLE_MS);
  }

  /** Returns how many batches came, at most `limit`. */
  #drain(limit: number): number {
    for (let batches = 0; batches < limit; batches++) {
      const filledBytes = this.#programs.ring.drain();
      if (filledBytes === 0) return batches;
      this.#decoder.decode(filledBytes);
    }
    return limit;
  }

  async #render(openMetrics: boolean) {
    this.#tlsBytes.update(this.#programs.tlsProcesses());
    this.#topology.refresh();
    const rendered = await this.#metrics.render(openMetrics);
    this.#workloads.scraped();
    return rendered;
  }

  #tick(): void {
    this.#workloads.tick();
    native().trimMemory();
    this.#ticks = (this.#ticks + 1) % TICKS_PER_MINUTE;
    if (this.#ticks !== 0) return;
    if (this.#web) this.#warnOfOthers();
    native().releaseFilePages();
  }

  #warnOfOthers(): void {
    for (const pid of otherAgents(this.#proc)) {
      const message =
        'another agent runs on this node: both count everything, do not add their numbers; end one of them';
      this.#log.once(`agent ${pid}`, 'warn', message, { pid });
    }
  }

  #sweep(): void {
    this.#workloads.sweep();
    if (!this.#programs.isEnabled('tls')) return;
    // Without the events of processes, looking at all of them is what is left.
    if (!this.#programs.isEnabled('process')) this.#discovery.scanAll();
    this.#discovery.sweep();
  }

  #ownerOf(pid: number) {
    const owner = this.#workloads.processes.owner(pid);
    this.#recorder?.process(this.#workloads.label(owner));
    return owner;
  }

  #onExec(pid: number, hint: ProcessHint): void {
    this.#workloads.processes.exec(pid, hint);
    this.#discovery.processExited(pid);
    if (this.#programs.isEnabled('tls') && (this.#onlyPid === 0 || pid === this.#onlyPid)) {
      this.#discovery.scanSoon(pid, performance.now());
    }
  }

  #onExit(pid: number): void {
    this.#tlsBytes.update(this.#programs.tlsProcesses(pid));
    this.#tlsBytes.ended(pid);
    this.#workloads.processes.exit(pid);
    this.#discovery.processExited(pid);
  }

  #labelsOf(pid: number) {
    return this.#workloads.label(this.#workloads.processes.owner(pid));
  }

  #features() {
    return [...this.#programs.features(), this.#workloads.feature(this.#config.kubernetes)];
  }

  *#tlsProcesses() {
    for (const { pid, library, state, reason } of this.#discovery.processes()) {
      yield { owner: this.#labelsOf(pid), library, state, reason };
    }
  }

  *#tlsServices() {
    for (const { pid, library, version, state, reason } of this.#discovery.processes()) {
      const { namespace, service } = this.#labelsOf(pid);
      yield { namespace, service, library, version, state, reason };
    }
  }

  #lost() {
    const counters = this.#programs.counters();
    return {
      ring: counters[COUNTER.LOST_RING]!,
      missed: this.#programs.misses(),
      map_full: counters[COUNTER.LOST_MAP_FULL]!,
      truncated: counters[COUNTER.LOST_READ]! + counters[COUNTER.LOST_FRAMES]!,
      queue: this.#streams.stats.evicted,
    };
  }

  #bindings() {
    const counters = this.#programs.counters();
    return [
      { method: 'nested', result: 'bound', count: counters[COUNTER.BOUND_NESTED]! },
      { method: 'nested', result: 'conflict', count: counters[COUNTER.NESTED_CONFLICT]! },
      { method: 'record', result: 'bound', count: counters[COUNTER.BOUND_RECORD]! },
      { method: 'record', result: 'conflict', count: counters[COUNTER.RECORD_CONFLICT]! },
      { method: 'offset', result: 'bound', count: counters[COUNTER.BOUND_OFFSET]! },
      { method: 'offset', result: 'agreed', count: counters[COUNTER.OFFSET_AGREED]! },
      { method: 'offset', result: 'conflict', count: counters[COUNTER.OFFSET_CONFLICT]! },
      { method: 'unknown', result: 'unbound', count: this.#decoder.unbound },
    ] as const;
  }

  #readiness() {
    if (!this.#ready) return { ready: false, reason: 'starting or stopping' };
    const off = this.#programs.features().filter(({ reason }) => reason.startsWith('error_'));
    if (off.length === 0) return { ready: true, reason: 'probes are attached' };
    return { ready: false, reason: off.map(({ feature, reason }) => `${feature}: ${reason}`).join(', ') };
  }

  status() {
    const counters = this.#programs.counters();
    return {
      version: packageVersion(),
      kernel: release(),
      arch: process.arch,
      features: this.#features(),
      kubernetes: this.#workloads.status(),
      cgroups: this.#workloads.cgroups,
      otherAgents: otherAgents(this.#proc),
      libraries: this.#discovery.attachments().map(libraryStatus),
      processes: this.#discovery.processes().map((found) => {
        const { comm, namespace, pod, container, service } = this.#labelsOf(found.pid);
        return { comm, namespace, pod, container, service, ...found };
      }),
      lost: this.#lost(),
      events: this.#decoder.eventsByKind(),
      chunks: {
        http: counters[COUNTER.CHUNKS_HTTP],
        tls: counters[COUNTER.CHUNKS_TLS],
        other: counters[COUNTER.CHUNKS_OTHER],
        excluded: counters[COUNTER.CHUNKS_EXCLUDED],
        opaque: counters[COUNTER.CHUNKS_OPAQUE],
        insideTls: counters[COUNTER.CHUNKS_INSIDE_TLS],
        quic: counters[COUNTER.QUIC],
      },
      capturedBytes: counters[COUNTER.CAPTURED_BYTES],
      unpairedReturns: counters[COUNTER.UNPAIRED_RETURN],
      connections: this.#streams.stats.connections,
    };
  }

  summary(): readonly SummaryLine[] {
    return this.#features().map(({ feature, enabled, reason }) => ({
      label: feature,
      value: enabled ? 'on' : `off (${reason})`,
    }));
  }
}

/** As `inspect` has it. */
function libraryStatus({ sites, layout, ...library }: AttachedLibrary) {
  return {
    ...library,
    sites: sites.map(({ cookie: _, ...site }) => site),
    ...(layout && { socket: socketFacts(layout) }),
  };
}
