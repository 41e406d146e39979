/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The tables of the TCP programs, which no other object has. */
#ifndef PLAINSIGHT_TCP_MAPS_H
#define PLAINSIGHT_TCP_MAPS_H

#include "maps.bpf.h"

/* include/uapi/asm-generic/errno*.h, the same for x86 and arm64 */
enum {
	EPIPE = 32,
	ENETUNREACH = 101,
	ECONNRESET = 104,
	ETIMEDOUT = 110,
	ECONNREFUSED = 111,
	EHOSTUNREACH = 113,
};

#define SOCK_DONE_BIT 1 /* enum sock_flags of include/net/sock.h: the peer's FIN was received (v5.8 to v7.0) */

/* Payload bytes of a connection, each once. */
struct totals {
	__u64 sent;
	__u64 received;
};

/* A connection that is open or being opened. */
struct connection {
	struct flow_key key;
	__u64 start_ns;
	struct totals told; /* what its flow has of it, or what was before it was first seen */
	__u64 sampled;      /* bytes that had moved when its round-trip time was last observed */
	__u32 pid;
	__u16 local_port;
	__u16 remote_port;
	__u8 opened;
	__u8 failed; /* its failure is counted already */
	__u8 gone;   /* the last scan found another socket in its place */
	__u8 reserved;
	__u32 retransmits; /* segments that are counted, or were not ours to count */
};

struct ends {
	__u8 local[16];
	__u8 remote[16];
	__u32 netns;
	__u16 local_port;
	__u16 remote_port;
};

/*
 * Added to by the programs on all CPUs, read by user space. One value per key and not per CPU: events are as rare as
 * connections, and with 64 CPUs the table would be 64 times as large. User space deletes what has long been idle.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

/* By the address of the socket: what closes deletes its entry, so the address is never another socket's for long. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, struct sock *);
	__type(value, struct connection);
} connections SEC(".maps");

/* Written by the programs, read by user space: what the numbers in flow_key stand for. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct owner);
} owners SEC(".maps");

/* Who listens. The last one of several that share a port; an entry without its socket does no harm, and goes as least recently used. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct tcp_endpoint);
	__type(value, struct tcp_process);
} listeners SEC(".maps");

/* Endpoints at which a connection was accepted, by their real address; for user space, to name the peers of clients. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct tcp_endpoint);
	__type(value, struct tcp_process);
} servers SEC(".maps");

/* The clients of this node by connection, for their servers and for user space. They outlive the connection a while. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct tcp_tuple);
	__type(value, struct tcp_process);
} clients SEC(".maps");

/* Written by user space: the prefixes whose addresses are told apart. The value says nothing. */
struct prefix {
	__u32 bits;
	__u8 address[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u8);
} inside SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcp_scan);
} scan SEC(".maps");

#endif
