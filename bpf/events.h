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
 * `length` bytes moved at `position`. After this struct follow the first `captured` of them, then the last `tail`.
 * captured + tail <= length.
 */
struct data_event {
	struct event_header header;
	__u64 position; /* of the first byte, counted per direction since the connection was first seen */
	__u32 length;
	__u32 captured;
	__u8 direction; /* enum direction */
	__u8 tail;
	__u8 reserved[6];
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
	COUNTER_UNBOUND,           /* TLS connections that were announced without an address */
	COUNTER_QUIC,              /* datagrams that begin a QUIC connection: seen, not decoded */
	COUNTER_COUNT,
};

/* One element, written by user space before the programs are attached, and when the configuration changes. */
struct settings {
	__u32 self_pid;      /* never traced */
	__u32 only_pid;      /* 0: all */
	__u32 capture_bytes; /* copied of one message at most, 64..16384 */
	__u32 filter_epoch;  /* raised when an exclusion changes: decisions that were kept are made again */
};

#endif
