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
 * Written by user space: cgroups (inodes of v2 directories) of which nothing, or of which alone something, is copied. It holds for
 * what lies beneath too, up to the next entry: an enum scope. A node runs hundreds of pods, each with one entry.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u8);
} cgroup_scopes SEC(".maps");

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
	__u64 began_ns; /* of a write */
};

/* What the thread's TLS calls and socket operations left to be matched; see tls-binding.bpf.h, which alone uses it. */

struct side {
	__u64 since_ns; /* when the first that is not matched yet came */
	__u64 last;     /* written: the SSL object; received: the struct sock */
	__u8 count;     /* how many are not matched yet */
	__u8 mixed;     /* there were two at a time: nothing is matched until there is none */
	__u8 fresh;     /* received: nothing was read since */
	__u8 reserved[5];
};

struct tls_records {
	struct side written;
	struct side received;
	__u64 lengths;   /* of the records that were received, 16 bits each; 0: none */
	__u32 plaintext; /* bytes of the first write of written.last */
	__u32 reserved;
};

struct tls_calls {
	__u32 depth;
	__u32 unbound;    /* the last object that moved bytes had no socket */
	__u64 ciphertext; /* bytes that system calls of TLS calls moved, not yet counted for the process */
	struct tls_call calls[TLS_CALL_DEPTH];
	struct tls_records records;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct tls_calls);
} tls_calls SEC(".maps");

/*
 * The TLS calls that goroutines are inside of: TLS over TLS, by a proxy, makes two. Written by the Go programs, read by
 * the socket programs too.
 */
#define GO_CALL_DEPTH 2 /* a power of two, for the index */

struct go_key {
	__u64 g; /* address of the goroutine's runtime.g */
	__u32 pid;
	__u32 reserved;
};

struct go_call {
	__u64 conn;      /* address of the tls.Conn */
	__u64 buffer;    /* its address; with on_stack, how far it is below the top of the goroutine's stack */
	__u64 below_top; /* how far the stack pointer was below that at the entry */
	__u32 on_stack;
	__u32 direction; /* enum direction */
};

struct go_calls {
	__u32 depth;
	__u32 reserved;
	struct go_call calls[GO_CALL_DEPTH];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct go_key);
	__type(value, struct go_calls);
} go_calls SEC(".maps");

/* One direction of a connection. */
struct half {
	__u64 position; /* of the next byte */
	__u32 budget;   /* bytes that may still be copied of this message */
	__u32 sequence; /* of a socket: the TCP sequence number that belongs to position */
	__u8 automaton; /* of the filter, where the last chunk ended undecided */
	__u8 reserved[7];
};

/* What a connection speaks, as far as is known. */
enum http {
	HTTP_NONE = 0,
	HTTP_1,        /* a start line was seen */
	HTTP_2_JOINED, /* bytes that look like frames of HTTP/2 were seen */
	HTTP_2,        /* the preface was seen */
};

/* One connection, or one SSL object. */
struct stream {
	__u64 id;      /* 0: not yet given */
	__u64 ssl;     /* of a socket: the SSL object whose records it was seen to send; 0: none */
	__u64 carries; /* of a socket: the SSL object whose TLS calls it was last found to be bound to by; 0: none */
	__u32 filter_epoch;
	__u8 excluded;
	__u8 http;      /* enum http: everything goes to user space from there on */
	__u8 announced; /* EVENT_OPEN was written */
	__u8 last_direction;
	__u8 ended;     /* bit per direction: EVENT_END was written */
	__u8 secure;    /* of a socket: a TLS record was seen, what moves from there is ciphertext */
	__u8 checked;   /* of a socket: receives whose records were looked at */
	__u8 asked;     /* since the last turn a request has begun */
	__u8 pipelined; /* bit per direction: two requests were seen in it, with no response between them */
	__u8 asks;      /* bit of the direction in which a request, or the preface of HTTP/2, was seen first */
	__u8 reserved[2];
	struct half half[2];
};

/* Both ends of a socket. */
struct address {
	__u16 family; /* 0: not known */
	__u16 local_port;
	__u16 remote_port;
	__u16 reserved;
	__u8 local[16]; /* network byte order; AF_INET uses the first 4 bytes */
	__u8 remote[16];
};

struct tls_key {
	__u64 ssl;
	__u32 pid;
	__u32 reserved;
};

struct tls_stream {
	struct stream stream;
	struct address address; /* of the socket; counts once `socket` is set */
	__u64 socket;           /* address of its struct sock; 0: not bound */
	__u64 candidate;        /* the struct sock that record lengths point to */
	__u8 matched;           /* bit per direction: lengths of records agreed with the candidate */
	__u8 refused;           /* the evidence contradicted itself: no address any more */
	__u8 by_records;        /* bound by matching lengths */
	__u8 looked_below;      /* its own structures were asked for the socket */
	__u8 reserved[4];
};

/*
 * Key: the SSL object in its process. Written by the TLS programs, and by the socket programs that find its socket.
 * Deleted by SSL_free; what processes leave behind when they end is deleted by user space or goes as least recently used.
 * An entry that comes again has another id, so nothing is joined wrongly.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct tls_key);
	__type(value, struct tls_stream);
} tls_streams SEC(".maps");

/*
 * Key: pid. Written by the TLS and socket programs, read by user space at a scrape, and when the process has ended, which
 * deletes the entry.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct tls_process);
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

/* What new entries begin as: in read-only data, because the stack is too small for them. */
static const struct tls_stream no_tls_stream;
static const struct tls_process no_tls_process;

/* NULL where the map is full. */
static __always_inline struct tls_process *make_tls_process(__u32 pid)
{
	struct tls_process *process = bpf_map_lookup_elem(&tls_processes, &pid);

	if (process)
		return process;
	bpf_map_update_elem(&tls_processes, &pid, &no_tls_process, BPF_NOEXIST);
	return bpf_map_lookup_elem(&tls_processes, &pid);
}

/* TLS calls of this process moved so many bytes, and so many of ciphertext below them. */
static __always_inline void count_tls_bytes(__u32 pid, __u32 plaintext, __u64 ciphertext)
{
	struct tls_process *process = make_tls_process(pid);

	if (!process)
		return;
	process->known = 1;
	/* Nothing is added where there is nothing: of a constant 0 the compiler makes another operation than 5.10 knows. */
	if (plaintext)
		__sync_fetch_and_add(&process->plaintext, plaintext);
	if (ciphertext)
		__sync_fetch_and_add(&process->ciphertext, ciphertext);
}

static __always_inline struct tls_stream *find_tls_stream(__u64 ssl, __u32 pid)
{
	struct tls_key key = {.ssl = ssl, .pid = pid};

	return bpf_map_lookup_elem(&tls_streams, &key);
}

static __always_inline struct tls_stream *make_tls_stream(__u64 ssl, __u32 pid)
{
	struct tls_key key = {.ssl = ssl, .pid = pid};
	struct tls_stream *stream = bpf_map_lookup_elem(&tls_streams, &key);

	if (stream)
		return stream;
	bpf_map_update_elem(&tls_streams, &key, &no_tls_stream, BPF_NOEXIST);
	stream = bpf_map_lookup_elem(&tls_streams, &key);
	if (!stream)
		count(COUNTER_LOST_MAP_FULL);
	return stream;
}

static __always_inline const struct settings *get_settings(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&settings, &key);
}

#endif
