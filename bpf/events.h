/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * THE ABI between bpf/ and user space: the records of the ring buffer, the settings, the counters. src/abi/events.ts is
 * generated from the BTF that this header leaves in the objects; native/ reads nothing of it but event_header.size.
 * All padding is explicit. Fields only ever hold what their comment says, in host byte order unless it says otherwise.
 */
#ifndef PLAINSIGHT_EVENTS_H
#define PLAINSIGHT_EVENTS_H

#include <linux/types.h>

enum event_kind {
	EVENT_OPEN = 1,     /* open_event: a connection, before its first data_event */
	EVENT_DATA = 2,     /* data_event */
	EVENT_END = 3,      /* end_event: one direction ended in order */
	EVENT_CLOSE = 4,    /* close_event: the last event of a connection */
	EVENT_EXEC = 5,     /* process_event */
	EVENT_EXIT = 6,     /* process_event: the last thread of a process exits */
	EVENT_TLS_SEEN = 7, /* process_event: TLS records left or reached a process in which no TLS probe has fired */
	EVENT_BOUND = 8, /* bound_event: the addresses of a connection that was announced without, or that has none */
	EVENT_CGROUP_MADE = 9,  /* cgroup_event: a directory of the cgroup v2 hierarchy was made */
	EVENT_CGROUP_GONE = 10, /* cgroup_event: it was removed */
};

enum direction {
	INGRESS = 0, /* received by the traced process */
	EGRESS = 1,  /* sent by it */
};

enum source {
	SOURCE_SOCKET = 0,  /* tp_btf/sock_{send,recv}_length */
	SOURCE_SYSCALL = 1, /* tp_btf/sys_exit */
	SOURCE_TLS = 2,     /* uprobes of a TLS library */
};

/* May traffic be copied? The value in cgroup_scopes, and what holds where there is none. */
enum scope {
	SCOPE_UNLIMITED = 0, /* in settings: cgroup_scopes is empty and need not be asked */
	SCOPE_IN = 1,
	SCOPE_OUT = 2,
};

#define COMM_SIZE 16
#define EXECUTABLE_SIZE 48

struct event_header {
	__u32 size;    /* bytes used of the record, this header included */
	__u16 kind;    /* enum event_kind */
	__u16 source;  /* enum source */
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 pid;     /* thread group id in the initial pid namespace */
	__u32 tid;
	__u64 connection; /* below 2^53, never reused; 0: none */
};

struct open_event {
	struct event_header header;
	__u64 process_start_ns; /* CLOCK_BOOTTIME: tells a reused pid from the first */
	__u64 cgroup_id;        /* inode of the cgroup v2 directory */
	__u64 tls;              /* address of the SSL object, 0 for sockets */
	__u16 family;           /* AF_INET, AF_INET6, 0: not known */
	__u16 local_port;
	__u16 remote_port;
	__u16 reserved;
	__u8 local[16]; /* network byte order; AF_INET uses the first 4 bytes */
	__u8 remote[16];
	char comm[COMM_SIZE];             /* of the thread group leader */
	char executable[EXECUTABLE_SIZE]; /* file name of /proc/PID/exe, without its folder */
};

/*
 * `length` bytes moved at `position`. Without pieces, after this struct follow the first `captured` of them, then the last
 * `tail`; captured + tail <= length. With pieces, there follow `slots` structs piece, of which the first `pieces` are used, and
 * then the `captured` bytes of all of them; their lengths add up to `length`, and tail is 0.
 */
struct data_event {
	struct event_header header;
	__u64 position; /* of the first byte, counted per direction since the connection was first seen */
	__u32 length;
	__u32 captured;
	__u8 direction; /* enum direction */
	__u8 tail;
	__u8 pieces;
	__u8 slots;
	__u8 reserved[4];
};

/* A stretch of a chunk: `length` bytes, of which the first `captured` are there. */
struct piece {
	__u32 length;
	__u32 captured;
};

struct end_event {
	struct event_header header;
	__u8 direction; /* enum direction: what has ended */
	__u8 reserved[7];
};

struct close_event {
	struct event_header header;
	__u8 reset; /* 1: closed without an orderly end */
	__u8 reserved[7];
};

/* family 0: what was said before does not hold. */
struct bound_event {
	struct event_header header;
	__u16 family;
	__u16 local_port;
	__u16 remote_port;
	__u16 reserved;
	__u8 local[16];
	__u8 remote[16];
};

struct process_event {
	struct event_header header; /* connection is 0 */
	__u64 process_start_ns;
	__u64 cgroup_id;
	char comm[COMM_SIZE];
	char executable[EXECUTABLE_SIZE];
};

/* What a process has moved by TLS; in the map `tls_processes`. */
struct tls_process {
	__u64 plaintext;  /* bytes through TLS calls */
	__u64 ciphertext; /* bytes through sockets that carry TLS records */
	__u8 known;       /* a TLS probe has fired in this image, or EVENT_TLS_SEEN was written */
	__u8 reserved[7];
};

#define CGROUP_PATH_SIZE 512

struct cgroup_event {
	struct event_header header;  /* connection is 0 */
	__u64 cgroup_id;             /* inode of the directory */
	char path[CGROUP_PATH_SIZE]; /* from the root of the hierarchy, with a zero behind it; cut where it is longer */
};

/* Per-CPU counters, one slot each in the map `counters`. */
enum counter {
	COUNTER_LOST_RING = 0,   /* records that found the ring full */
	COUNTER_LOST_MAP_FULL,   /* connections or calls that found a map full */
	COUNTER_LOST_READ,       /* bytes of user memory that could not be read: chunks */
	COUNTER_UNPAIRED_RETURN, /* returns of a TLS function whose entry was not seen */
	COUNTER_CAPTURED_BYTES,  /* payload bytes copied */
	COUNTER_CHUNKS_HTTP,     /* chunks by what the filter took them for */
	COUNTER_CHUNKS_TLS,
	COUNTER_CHUNKS_OTHER,
	COUNTER_CHUNKS_EXCLUDED,   /* chunks of excluded processes: never copied */
	COUNTER_CHUNKS_OPAQUE,     /* chunks of HTTP streams whose bytes are not in user memory (sendfile, io_uring) */
	COUNTER_CHUNKS_INSIDE_TLS, /* socket operations on plaintext that a TLS call made: counted there */
	COUNTER_BOUND_NESTED,      /* TLS connections whose socket was found by an operation inside of a TLS call */
	COUNTER_NESTED_CONFLICT,   /* TLS connections that such an operation found on another socket than before */
	COUNTER_BOUND_RECORD,      /* TLS connections whose socket was found by the lengths of records */
	COUNTER_RECORD_CONFLICT,   /* TLS connections whose records pointed to two sockets, or to one of another */
	COUNTER_BOUND_OFFSET,      /* TLS connections whose socket was found in their own structures */
	COUNTER_OFFSET_AGREED,     /* TLS connections whose structures agree with what was found before */
	COUNTER_OFFSET_CONFLICT,   /* TLS connections whose structures do not: the address is withdrawn */
	COUNTER_TCP_OVERFLOW,      /* TCP events that were counted in the overflow flow: the table of flows was full */
	COUNTER_TCP_UNTRACKED,     /* TCP connections that found the table of connections full */
	COUNTER_LOST_FRAMES,       /* HTTP/2 chunks of more frames than are walked: the rest is not looked at */
	COUNTER_QUIC,              /* datagrams that begin a QUIC connection: seen, not decoded */
	COUNTER_COUNT,
};

/* One element, written by user space before the programs are attached, and when the configuration changes. */
struct settings {
	__u32 self_pid;      /* never traced */
	__u32 only_pid;      /* 0: all */
	__u32 capture_bytes; /* copied of one message at most, 64..16384 */
	__u32 filter_epoch;  /* raised when an exclusion changes: decisions that were kept are made again */
	__u32 scope;         /* enum scope: of processes none of whose cgroups has an entry in cgroup_scopes */
	__u32 reserved;
};

/* Which side of a TCP connection a socket is. */
enum role {
	ROLE_CLIENT = 0, /* it connected */
	ROLE_SERVER = 1, /* it accepted */
};

/* How TCP connections end other than in order. */
enum failure {
	FAILURE_REFUSED = 0, /* not opened: a reset answered */
	FAILURE_TIMEOUT,     /* the kernel gave up on a silent peer, before or after it was opened */
	FAILURE_UNREACHABLE, /* a router or this host said so */
	FAILURE_RESET,       /* opened, then reset by the peer while a process held it */
	FAILURE_ABORTED,     /* given up by this side: before it was opened, or by a reset of ours */
	FAILURE_ERROR,       /* anything else */
	FAILURE_COUNT,
};

/* Whose sockets: written once per pair of cgroup and executable. The key of the map is a hash of it, never 0. */
struct owner {
	__u64 cgroup_id;                  /* inode of the cgroup v2 directory */
	char executable[EXECUTABLE_SIZE]; /* as in open_event; "kernel": a kernel thread; empty: not known */
	/* One process of it: the one that was seen first. Not part of the key. */
	__u64 process_start_ns;
	__u32 pid; /* 0: not known */
	__u32 reserved;
};

/* Addresses are IPv6 throughout, IPv4 ones as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2). */
struct flow_key {
	__u64 owner;      /* 0: the overflow flow, all other fields but the role are 0 */
	__u64 peer_owner; /* when the other end is on this node and known; peer is zero then */
	__u8 peer[16];    /* zero: outside of the prefixes that are told apart */
	__u16 port;       /* of the serving side */
	__u8 role;        /* enum role */
	__u8 reserved[5];
};

/* Upper bounds of the buckets in microseconds; the last bucket has none. src/tcp/flow-table.ts has the same. */
#define TIME_BUCKETS 17
#define TIME_BOUNDS                                                       \
	{100,   250,    500,    1000,   2500,    5000,    10000,   25000, \
	 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000}

/* What the TCP connections of one flow_key did since the programs were attached. Counts only rise, but for open_*. */
struct flow {
	__u64 opened;
	__u64 failed[FAILURE_COUNT];
	__u64 retransmits; /* segments, SYN and SYN-ACK among them */
	__u64 sent;        /* payload bytes, each once; of open connections as of the last scan */
	__u64 received;
	__u64 connect_us; /* sums */
	__u64 rtt_us;
	__u64 open_scan; /* the scan that wrote open_count: it is of no other */
	__u64 open_count;
	__u32 connect[TIME_BUCKETS];
	__u32 rtt[TIME_BUCKETS];
};

/* Both ends of a TCP connection as the client has them. */
struct tcp_tuple {
	__u8 client[16];
	__u8 server[16];
	__u16 client_port;
	__u16 server_port;
	__u32 netns; /* inode of the network namespace for loopback addresses, 0 for others: they are the node's own */
};

/* An endpoint that accepts. */
struct tcp_endpoint {
	__u8 address[16]; /* zero: any */
	__u16 port;
	__u16 reserved;
	__u32 netns; /* as in tcp_tuple; of a listener, always */
};

/* Who is at an endpoint. */
struct tcp_process {
	__u64 owner; /* key of the map owners */
	__u32 pid;   /* of the process that connected or listened; of those that accept, the last seen to listen */
	__u32 self;  /* 1: the agent */
};

/* What tells of the next comes first: a port that listens makes a connection a server's, its client tells who asks. */
enum held {
	HELD_LISTENERS = 0,
	HELD_CLIENTS,
	HELD_SERVERS,
};

/* Written by user space before it runs an iterator. */
struct tcp_scan {
	__u64 number; /* of the scan, from 1 */
	__u32 sample; /* 1: the round-trip times of open connections are observed too */
	__u32 held;   /* of the sockets that processes hold: enum held */
};

#endif
