/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The maps that objects share: user space creates each once and hands it to every object that names it. A map that one
 * object alone uses stands in that object. Sizes are the defaults; user space may set max_entries before the load.
 */
#ifndef PLAINSIGHT_MAPS_H
#define PLAINSIGHT_MAPS_H

#include "events.h"
#include "kernel.h"

/* Written by every program, drained by user space. 16 MiB hold 10 ms of 100,000 requests/s of 8 KiB twice over. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 * 1024 * 1024);
} events SEC(".maps");

/* Written by every program, read by user space at a scrape: enum counter. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTER_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* Written by user space, read by every program. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

/* Written by user space: names of processes that are never copied from. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, char[COMM_SIZE]);
	__type(value, __u8);
} excluded_comms SEC(".maps");

/*
 * The TLS calls that a thread is inside of, innermost last; key: pid_tgid. Written by the TLS programs, read by the
 * socket programs too. Least recently used entries go: threads that have ended leave theirs behind.
 */
#define TLS_CALL_DEPTH 4 /* a power of two, for the index */

struct tls_call {
	__u64 ssl;
	__u64 buffer;
	__u64 count_pointer;
	__u64 stack_pointer;
};

struct tls_calls {
	__u32 depth;
	__u32 reserved;
	struct tls_call calls[TLS_CALL_DEPTH];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct tls_calls);
} tls_calls SEC(".maps");

/*
 * Processes in which a TLS probe has fired, or that were reported as EVENT_TLS_SEEN: one report each. Written by the
 * TLS and socket programs; an exec deletes the entry.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, __u8);
} tls_processes SEC(".maps");

static __always_inline void count_by(enum counter counter, __u64 amount)
{
	__u32 key = counter;
	__u64 *value = bpf_map_lookup_elem(&counters, &key);

	if (value)
		__sync_fetch_and_add(value, amount);
}

static __always_inline void count(enum counter counter)
{
	count_by(counter, 1);
}

static __always_inline const struct settings *get_settings(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&settings, &key);
}

#endif
