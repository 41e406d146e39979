/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The one way from bytes that moved to records of the ring buffer, for every front end. A front end finds the stream
 * (the state of one connection) and where the bytes lie in user memory; capture() decides whether they are HTTP, keeps
 * the positions and the copy budget, and writes the events.
 *
 * Limit: of one message at most settings.capture_bytes are copied, of those of a pipeline more (pipeline.bpf.h). What is not
 * copied still moves the position, so user space knows every gap.
 */
#ifndef PLAINSIGHT_CAPTURE_H
#define PLAINSIGHT_CAPTURE_H

#include "emit.bpf.h"
#include "frames.bpf.h"
#include "pipeline.bpf.h"
#include "scope.bpf.h"

/* Segments whose bytes may make up one start line: writers that send method, space and target as pieces. */
#define MAX_FILTER_SEGMENTS 6

/* What EVENT_OPEN says of a connection beyond its process. */
struct endpoint {
	__u64 tls;
	const struct address *address;
};

static __always_inline __u64 current_id(void)
{
	/* 45 bits of nanoseconds (9.7 hours) and 8 of the CPU: one CPU never makes two connections in one nanosecond. */
	return (bpf_ktime_get_ns() & ((1ULL << 45) - 1)) << 8 | (bpf_get_smp_processor_id() & 0xff);
}

/* Are bytes of the current process to be looked at all? Before any state is made for it. */
static __always_inline int is_traced(const struct settings *settings, __u32 pid)
{
	return pid != settings->self_pid && (!settings->only_pid || pid == settings->only_pid);
}

/* The exclusions, decided once per stream and again when they change. */
static __always_inline int is_excluded(struct stream *stream, const struct settings *settings)
{
	if (stream->filter_epoch != settings->filter_epoch) {
		char comm[COMM_SIZE] = {};

		bpf_get_current_comm(comm, sizeof(comm));
		stream->excluded = bpf_map_lookup_elem(&excluded_comms, comm) != NULL || is_out_of_scope(settings);
		stream->filter_epoch = settings->filter_epoch;
	}
	return stream->excluded;
}

static __always_inline void fill_process(struct task_struct *task, __u64 *start_ns, char *comm, char *executable)
{
	const unsigned char *name = BPF_CORE_READ(task, mm, exe_file, f_path.dentry, d_name.name);

	*start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	BPF_CORE_READ_STR_INTO((char(*)[COMM_SIZE])comm, task, group_leader, comm);
	bpf_probe_read_kernel_str(executable, EXECUTABLE_SIZE, name);
}

static __always_inline int announce(struct stream *stream, const struct endpoint *endpoint, __u16 source)
{
	struct open_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count(COUNTER_LOST_RING);
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	fill_header(&event->header, sizeof(*event), EVENT_OPEN, source, stream->id);
	fill_process((void *)bpf_get_current_task(), &event->process_start_ns, event->comm, event->executable);
	event->cgroup_id = bpf_get_current_cgroup_id();
	event->tls = endpoint->tls;
	event->family = endpoint->address->family;
	event->local_port = endpoint->address->local_port;
	event->remote_port = endpoint->address->remote_port;
	__builtin_memcpy(event->local, endpoint->address->local, sizeof(event->local));
	__builtin_memcpy(event->remote, endpoint->address->remote, sizeof(event->remote));
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	stream->announced = 1;
	return 1;
}

/* What look() answers: the automaton, and above it */
#define LOOKS_LIKE_TLS 0x100
/* A frame of HTTP/2 begins the chunk, */
#define LOOKS_LIKE_FRAME 0x200
/* and it is whole, or a header alone, and what follows is another. */
#define LOOKS_LIKE_FRAMES 0x400
/* What is accepted is a response. */
#define LOOKS_LIKE_RESPONSE 0x800

static __always_inline int look_for_frames(const __u8 *head, __u64 filled, __u64 address, __u64 segments, __u64 length)
{
	struct frame_header first, second;
	__u8 bytes[16] = {};
	__u64 next;

	if (filled < FRAME_HEADER_BYTES)
		return 0;
	first = read_frame_header(head);
	if (!is_plausible_frame(&first))
		return 0;
	next = FRAME_HEADER_BYTES + (__u64)first.length;
	if (length == next || length == FRAME_HEADER_BYTES)
		return LOOKS_LIKE_FRAME | LOOKS_LIKE_FRAMES;
	if (length < next + FRAME_HEADER_BYTES)
		return LOOKS_LIKE_FRAME;
	/* Of segments it is not worth the search. */
	if (segments)
		return LOOKS_LIKE_FRAME | LOOKS_LIKE_FRAMES;
	if (bpf_probe_read_user(bytes, FRAME_HEADER_BYTES, (void *)(address + next)))
		return 0;
	second = read_frame_header(bytes);
	return is_plausible_frame(&second) || second.type == FRAME_CONTINUATION ? LOOKS_LIKE_FRAME | LOOKS_LIKE_FRAMES
										: 0;
}

/*
 * What the first bytes, gathered across segments, begin. Global, with numbers for arguments, as emit_buffer() is, which
 * keeps the bytes off the stack of whoever asks.
 */
__noinline int look(__u64 address, __u64 shape, __u64 automaton)
{
	const struct user_bytes bytes = {.address = address, .segments = shape >> 32, .length = (__u32)shape};
	__u8 head[64] = {}; /* FILTER_BYTES, with room for what the verifier believes */
	__u64 most = smaller(bytes.length, FILTER_BYTES), filled = 0;
	__u64 segments = MASKED(smaller(bytes.segments, MAX_FILTER_SEGMENTS), 63);
	long error = 0;
	int seen = 0;

	if (!bytes.segments) {
		filled = MASKED(most, 31);
		error = bpf_probe_read_user(head, filled, (void *)bytes.address);
	}
	for (__u32 i = 0; i < MAX_FILTER_SEGMENTS; i++) {
		struct user_iovec iov = {};
		__u64 n;

		if (i >= segments)
			break;
		error |= read_segment(&iov, &bytes, i);
		n = MASKED(smaller(iov.length, most - filled), 31);
		error |= bpf_probe_read_user(head + MASKED(filled, 31), n, (void *)iov.base);
		filled += n;
	}
	if (error)
		return FILTER_REFUSED;
	if (is_tls_record(head, filled))
		seen = LOOKS_LIKE_TLS;
	else
		seen = look_for_frames(head, filled, address, bytes.segments, bytes.length);
	if (head[0] == 'H' && head[4] == '/')
		seen |= LOOKS_LIKE_RESPONSE;
	return seen | filter_run(automaton, head, filled);
}

/*
 * A chunk moved. What it is was decided by `automaton` and `tls`; a front end that must know more of a plaintext chunk
 * before it is copied asks judge() first.
 */
struct verdict {
	__u8 http;
	__u8 tls;
	__u8 walks; /* its frames are walked */
	__u8 reserved;
};

static __always_inline void learn_role(struct stream *stream, int direction)
{
	if (!stream->asks)
		stream->asks = 1 << (direction & 1);
}

/* What the first bytes say of the connection. Non-zero: frames are walked from here on. */
static __always_inline int recognise(struct stream *stream, int direction, int seen, __u8 before, __u64 position)
{
	__u8 automaton = seen & 0xff;
	__u64 keep = 0;

	if (automaton == FILTER_PREFACE) {
		stream->http = HTTP_2;
		learn_role(stream, direction);
		keep = PREFACE_BYTES - preface_before(before);
	} else if (automaton == FILTER_ACCEPTED && stream->http != HTTP_2) {
		stream->http = HTTP_1;
		return 0;
	} else if (seen & LOOKS_LIKE_FRAMES && stream->http != HTTP_1) {
		if (stream->http == HTTP_NONE)
			stream->http = HTTP_2_JOINED;
	} else if (!(seen & LOOKS_LIKE_FRAME && stream->http == HTTP_2)) {
		return 0;
	}
	if (!stream->id)
		stream->id = current_id();
	if (begin_frames(stream->id, position, direction, keep)) {
		count(COUNTER_LOST_MAP_FULL);
		return 0;
	}
	return FOLLOWS_WALK;
}

static __always_inline struct verdict judge(struct stream *stream, int direction, const struct user_bytes *bytes,
					    const struct settings *settings, __u64 position)
{
	struct half *half = &stream->half[direction & 1];
	struct verdict verdict = {};
	int followed = 0, seen, turns, begins;
	__u8 automaton;

	if (!bytes->address) {
		verdict.http = stream->http != HTTP_NONE;
		if (verdict.http)
			count(COUNTER_CHUNKS_OPAQUE);
		else
			count(COUNTER_CHUNKS_OTHER);
		return verdict;
	}
	if (stream->http >= HTTP_2_JOINED)
		followed = follow_frames(stream->id, position, direction, bytes->length);
	if (followed & (FOLLOWS_WALK | FOLLOWS_PASS)) {
		verdict.http = 1;
		verdict.walks = followed & FOLLOWS_WALK;
		count(COUNTER_CHUNKS_HTTP);
		return verdict;
	}
	seen = look(bytes->address, bytes->length | (__u64)bytes->segments << 32, half->automaton);
	verdict.walks = recognise(stream, direction, seen, half->automaton, position);
	/* What was taken for HTTP/2, by frames alone, is not. */
	if (stream->http == HTTP_2_JOINED && !verdict.walks && !(followed & FOLLOWS_OTHER))
		stream->http = HTTP_NONE;
	automaton = seen & 0xff;
	half->automaton = automaton == FILTER_ACCEPTED || automaton == FILTER_PREFACE ? FILTER_REFUSED : automaton;
	turns = stream->last_direction != direction;
	if (automaton == FILTER_ACCEPTED || (stream->http && turns)) {
		/* A message; or a turn: what begins here may be one whose start line follows other bytes. */
		if (half->budget < settings->capture_bytes || !stream->pipelined)
			half->budget = settings->capture_bytes;
	}
	if (turns)
		stream->asked = 0;
	stream->last_direction = direction;
	begins = automaton == FILTER_ACCEPTED && !(seen & LOOKS_LIKE_RESPONSE);
	if (begins)
		learn_role(stream, direction);
	if (stream->http == HTTP_1 && (begins || stream->pipelined & (1 << (direction & 1))))
		follow_pipeline(stream, direction, bytes, begins);
	verdict.tls = (seen & LOOKS_LIKE_TLS) != 0;
	/* TLS inside of a HTTP stream (CONNECT, Upgrade) is a tunnel: its ciphertext is not copied. */
	verdict.http = (stream->http && !verdict.tls) || half->automaton != FILTER_REFUSED;
	if (verdict.http)
		count(COUNTER_CHUNKS_HTTP);
	else if (verdict.tls)
		count(COUNTER_CHUNKS_TLS);
	else
		count(COUNTER_CHUNKS_OTHER);
	return verdict;
}

static __always_inline void capture(struct stream *stream, int direction, __u16 source, const struct user_bytes *bytes,
				    const struct endpoint *endpoint, __u64 position, int walks, __u64 lead_us,
				    const struct settings *settings)
{
	struct half *half = &stream->half[direction & 1];
	__u64 shape = bytes->length | (__u64)bytes->segments << 32;
	__u64 how = (__u64)source << 32 | (__u64)(direction & 1) << 48 | lead_us << 49;
	__u32 wanted = 0;

	if (!stream->id)
		stream->id = current_id();
	if (!stream->announced && !announce(stream, endpoint, source))
		return;
	if (walks) {
		emit_all_frames(stream->id, position, bytes->address, shape, how | settings->capture_bytes);
		return;
	}
	if (stream->http >= HTTP_2_JOINED) {
		/* Payload that is passed over, or out of step: its length is all that is told. */
		emit_buffer(stream->id, position, 0, bytes->length, how);
		return;
	}
	if (bytes->address) {
		/*
		 * The first bytes of what may become a start line, and chunks as short as a terminator, are few: they
		 * need no budget.
		 */
		__u32 free = stream->http ? TAIL_BYTES : FILTER_BYTES;
		__u32 budget = stream->http && half->budget > free ? half->budget : free;

		wanted = bytes->length <= budget ? bytes->length : stream->http ? half->budget : free;
		if (stream->http)
			half->budget -= wanted < half->budget ? wanted : half->budget;
	}
	how |= wanted;
	if (wanted > SLICE_BYTES && stream->pipelined) {
#ifdef CAPTURES_SEGMENTS
		if (bytes->segments) {
			emit_each_segment(stream->id, position, bytes->address, shape, how);
			return;
		}
#endif
		emit_slices(stream->id, position, bytes->address, shape, how);
		return;
	}
#ifdef CAPTURES_SEGMENTS
	if (bytes->segments) {
		emit_segments(stream->id, position, bytes->address, shape, how);
		return;
	}
#endif
	emit_buffer(stream->id, position, bytes->address, shape, how);
}

/* Where the chunk begins; the direction goes on behind it, whether the chunk is copied or not. */
static __always_inline __u64 advance(struct stream *stream, int direction, __u32 length)
{
	struct half *half = &stream->half[direction & 1];
	__u64 position = half->position;

	__sync_fetch_and_add(&half->position, length);
	return position;
}

static __always_inline void emit_end(struct stream *stream, int direction, __u16 source)
{
	struct end_event *event;

	if (!stream->announced || stream->ended & (1 << direction))
		return;
	stream->ended |= 1 << direction;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(COUNTER_LOST_RING);
		return;
	}
	fill_header(&event->header, sizeof(*event), EVENT_END, source, stream->id);
	event->direction = direction;
	__builtin_memset(event->reserved, 0, sizeof(event->reserved));
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

static __always_inline void emit_close(struct stream *stream, int reset, __u16 source)
{
	struct close_event *event;

	if (stream->http >= HTTP_2_JOINED) {
		__u64 id = stream->id;

		bpf_map_delete_elem(&http2_connections, &id);
	}
	if (!stream->announced)
		return;
	stream->announced = 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(COUNTER_LOST_RING);
		return;
	}
	fill_header(&event->header, sizeof(*event), EVENT_CLOSE, source, stream->id);
	event->reset = reset;
	__builtin_memset(event->reserved, 0, sizeof(event->reserved));
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* A TLS connection that was announced has its socket from now on, or has none any more. */
static __always_inline void emit_bound(const struct tls_stream *tls)
{
	struct bound_event *event;

	if (!tls->stream.announced)
		return;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(COUNTER_LOST_RING);
		return;
	}
	fill_header(&event->header, sizeof(*event), EVENT_BOUND, SOURCE_TLS, tls->stream.id);
	event->family = tls->address.family;
	event->local_port = tls->address.local_port;
	event->remote_port = tls->address.remote_port;
	event->reserved = 0;
	__builtin_memcpy(event->local, tls->address.local, sizeof(event->local));
	__builtin_memcpy(event->remote, tls->address.remote, sizeof(event->remote));
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/*
 * A program that uses an SSL object again, for a new connection, need not say so: what moves in a direction that has
 * ended belongs to another connection.
 */
static __always_inline void renew_if_ended(struct tls_stream *tls, int direction)
{
	if (!(tls->stream.ended & (1 << direction)))
		return;
	emit_close(&tls->stream, 0, SOURCE_TLS);
	__builtin_memset(tls, 0, sizeof(*tls));
}

static __always_inline void emit_process(__u16 kind, __u32 pid, struct task_struct *task)
{
	struct process_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count(COUNTER_LOST_RING);
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	fill_header(&event->header, sizeof(*event), kind, SOURCE_SOCKET, 0);
	event->header.pid = pid;
	fill_process(task, &event->process_start_ns, event->comm, event->executable);
	event->cgroup_id = bpf_get_current_cgroup_id();
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

#endif
