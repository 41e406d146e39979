/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * From a chunk in user memory to a record of the ring buffer: emit_data(), and the arithmetic that verifiers can follow.
 * Of one chunk at most 16 KiB are copied; an iovec is gathered up to its 32nd segment.
 */
#ifndef PLAINSIGHT_EMIT_H
#define PLAINSIGHT_EMIT_H

#include "filter.h"
#include "maps.bpf.h"

#define MAX_SEGMENTS 32
#define TAIL_BYTES 8

/* Where the bytes of a chunk lie. */
struct user_bytes {
	__u64 address;  /* of the bytes, or of an array of user_iovec; 0: not in user memory */
	__u32 segments; /* 0: address is that of the bytes */
	__u32 length;
};

/*
 * A number ANDed with a mask of bits that it fits into anyway, out of the compiler's sight: it would drop the AND, or prove
 * the bound on one register and use the copy it had spilled before, which verifiers below 6.9 do not connect. They
 * do not connect the result with the original either: what a loop's exit proves of it does not multiply the states
 * of all that follows.
 */
#ifndef MASKED /* a host program brings its own */
#define MASKED(number, mask)                                         \
	({                                                           \
		__u64 masked = (number);                             \
		asm volatile("%0 &= %1" : "+r"(masked) : "i"(mask)); \
		masked;                                              \
	})
#endif

/*
 * The smaller of two numbers below 2^63, without a branch: the verifier follows each branch of a loop by itself, and
 * those of a loop over segments would be too many. It cannot see the bound either: MASKED() before the use.
 */
static __always_inline __u64 smaller(__u64 a, __u64 b)
{
	__s64 difference = a - b, sign;

	asm volatile("" : "+r"(difference)); /* the compiler would see the minimum, and branch */
	sign = difference >> 63;
	asm volatile("" : "+r"(sign));
	return b + (difference & sign);
}

/* All bits where a < b, none where not; both below 2^63. */
static __always_inline __u64 all_below(__u64 a, __u64 b)
{
	__s64 sign = a - b;

	asm volatile("" : "+r"(sign));
	sign >>= 63;
	asm volatile("" : "+r"(sign));
	return sign;
}

/* All bits for a number of 1..2^63, none for 0; without a branch too. */
static __always_inline __u64 all_if(__u64 number)
{
	__s64 sign = -number;

	asm volatile("" : "+r"(sign));
	sign >>= 63;
	asm volatile("" : "+r"(sign));
	return sign;
}

/* How long before an event is written its first byte moved, at most: what `how` has room for (see CHUNK). */
#define MOST_LEAD_US 0x7fff

static __always_inline void fill_header_before(struct event_header *header, __u32 size, __u16 kind, __u16 source,
					       __u64 id, __u64 lead_us)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();

	header->size = size;
	header->kind = kind;
	header->source = source;
	header->time_ns = bpf_ktime_get_ns() - lead_us * 1000;
	header->pid = pid_tgid >> 32;
	header->tid = (__u32)pid_tgid;
	header->connection = id;
}

static __always_inline void fill_header(struct event_header *header, __u32 size, __u16 kind, __u16 source, __u64 id)
{
	fill_header_before(header, size, kind, source, id, 0);
}

/* What emit_data() is told of a chunk. */
struct chunk {
	__u64 id;
	__u64 position;
	struct user_bytes bytes;
	__u32 wanted;
	__u16 source;
	__u16 lead_us;
	__u8 direction;
	__u8 reserved[7];
};

static __always_inline void fill_data(struct data_event *event, const struct chunk *chunk, __u32 captured, __u8 tail)
{
	fill_header_before(&event->header, sizeof(*event) + captured + tail, EVENT_DATA, chunk->source, chunk->id,
			   chunk->lead_us);
	event->position = chunk->position;
	event->length = chunk->bytes.length;
	event->captured = captured;
	event->direction = chunk->direction;
	event->tail = tail;
	event->pieces = 0;
	event->slots = 0;
	__builtin_memset(event->reserved, 0, sizeof(event->reserved));
	if (captured + tail)
		count_by(COUNTER_CAPTURED_BYTES, captured + tail);
}

/*
 * A record with room for `room` bytes of one buffer. A record holds fewer than `room` bytes, a power of two. Records have fixed sizes because bpf_ringbuf_reserve takes a
 * constant; a scratch buffer per CPU would be cheaper in space, but an uprobe can be preempted between filling and
 * sending it, and the next process on the CPU would send this one's bytes.
 */
#define EMIT_BUFFER(room)                                                                    \
	do {                                                                                 \
		struct {                                                                     \
			struct data_event event;                                             \
			__u8 bytes[(room) + 2 * TAIL_BYTES];                                 \
		} *record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);                \
		__u64 n = MASKED(smaller(wanted, (room) - 1), (room) - 1), kept;             \
                                                                                             \
		if (!record) {                                                               \
			count(COUNTER_LOST_RING);                                            \
			return;                                                              \
		}                                                                            \
		if (n && bpf_probe_read_user(record->bytes, n, (void *)bytes->address)) {    \
			count(COUNTER_LOST_READ);                                            \
			n = 0;                                                               \
		}                                                                            \
		kept = tail ? MASKED(smaller(TAIL_BYTES, length - n), 15) : 0;               \
		if (kept && bpf_probe_read_user(record->bytes + MASKED(n, (room) - 1), kept, \
						(void *)(bytes->address + length - kept)))   \
			kept = 0;                                                            \
		fill_data(&record->event, chunk, n, kept);                                   \
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);                                \
	} while (0)

/*
 * Over the segments of an iovec, four at a time: each way out of a loop is a state of its own for the verifier in all that
 * follows. The body also sees up to three indices behind the last segment.
 */
#define FOR_EACH_SEGMENT(i, segments)                                                           \
	for (__u32 group = 0; group < MAX_SEGMENTS && group < MASKED(segments, 63); group += 4) \
		for (__u32 i = group; i < group + 4; i++)

/* 0 or an error. Another thread may have changed what the system call took: the length is cut to what smaller() takes. */
static __always_inline long read_segment(struct user_iovec *iov, const struct user_bytes *bytes, __u32 i)
{
	long error = bpf_probe_read_user(iov, sizeof(*iov), (void *)(bytes->address + i * sizeof(*iov)));

	iov->length &= ~0ULL >> 1;
	return error;
}

/*
 * The same for an iovec. The verifier cannot see that filled + n stays inside of `room` when both vary, so the record
 * has twice the room and each is bounded by itself.
 */
#define EMIT_SEGMENTS(room)                                                                               \
	do {                                                                                              \
		struct {                                                                                  \
			struct data_event event;                                                          \
			__u8 bytes[2 * (room) + 2 * TAIL_BYTES];                                          \
		} *record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);                             \
		__u64 most = smaller(wanted, (room) - 1), filled = 0;                                     \
		long error = 0;                                                                           \
                                                                                                          \
		if (!record) {                                                                            \
			count(COUNTER_LOST_RING);                                                         \
			return;                                                                           \
		}                                                                                         \
		FOR_EACH_SEGMENT(i, segments)                                                             \
		{                                                                                         \
			struct user_iovec iov = {};                                                       \
			__u64 is_one = all_below(i, segments), n;                                         \
                                                                                                          \
			error |= read_segment(&iov, bytes, i) & is_one;                                   \
			n = MASKED(smaller(iov.length, most - filled) & is_one, (room) - 1);              \
			/* Of no bytes at an address that is not the user's, the read is an error too. */ \
			error |= bpf_probe_read_user(record->bytes + MASKED(filled, (room) - 1), n,       \
						     (void *)(iov.base & is_one));                        \
			filled = MASKED(filled + n, (room) - 1);                                          \
		}                                                                                         \
		if (error) {                                                                              \
			count(COUNTER_LOST_READ);                                                         \
			filled = 0;                                                                       \
		}                                                                                         \
		left = smaller(kept, length - filled);                                                    \
		last += kept - left;                                                                      \
		kept = MASKED(left, 15);                                                                  \
		if (bpf_probe_read_user(record->bytes + MASKED(filled, (room) - 1), kept, (void *)last))  \
			kept = 0;                                                                         \
		fill_data(&record->event, chunk, filled, kept);                                           \
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);                                             \
	} while (0)

static __always_inline void emit_from_segments(const struct chunk *chunk)
{
	const struct user_bytes *bytes = &chunk->bytes;
	__u32 wanted = chunk->wanted;
	__u64 segments = MASKED(smaller(bytes->segments, MAX_SEGMENTS), 63);
	__u64 left = bytes->length, last = 0, kept = 0;
	__u32 length = bytes->length;
	long failed = 0;

	/* The end of the last segment that is not empty, as far as it may be a tail. */
	FOR_EACH_SEGMENT(i, segments)
	{
		struct user_iovec iov = {};
		__u64 is_one = all_below(i, segments), here, n;

		failed |= read_segment(&iov, bytes, i) & is_one;
		here = smaller(iov.length, left) & is_one;
		left -= here;
		n = smaller(here, TAIL_BYTES);
		last = ((iov.base + here - n) & all_if(n)) | (last & ~all_if(n));
		kept = n | (kept & ~all_if(n));
	}
	/* Nothing where the segments end before the chunk does, or where one is not known. */
	kept &= ~(all_if(left) | failed >> 63);
	if (wanted < 256)
		EMIT_SEGMENTS(256);
	else if (wanted < 512)
		EMIT_SEGMENTS(512);
	else if (wanted < 1024)
		EMIT_SEGMENTS(1024);
	else if (wanted < 4096)
		EMIT_SEGMENTS(4096);
	else
		EMIT_SEGMENTS(16384);
}

static __always_inline void emit_from_buffer(const struct chunk *chunk)
{
	const struct user_bytes *bytes = &chunk->bytes;
	/* What the largest record holds. */
	__u32 length = bytes->length, wanted = smaller(chunk->wanted, 16383);
	int tail = 0;

	if (bytes->address && length > wanted) {
		__u8 last = 0;

		if (!bpf_probe_read_user(&last, 1, (void *)(bytes->address + length - 1)))
			tail = may_end_message(last);
	}
	if (!wanted)
		EMIT_BUFFER(8);
	else if (wanted < 128)
		EMIT_BUFFER(128);
	else if (wanted < 256)
		EMIT_BUFFER(256);
	else if (wanted < 512)
		EMIT_BUFFER(512);
	else if (wanted < 1024)
		EMIT_BUFFER(1024);
	else if (wanted < 4096)
		EMIT_BUFFER(4096);
	else
		EMIT_BUFFER(16384);
}

/*
 * Not inlined, and global, with numbers for arguments: so the verifier looks at them once, for any numbers, and not once
 * for each way that leads here. `shape` is the length and above it the segments; `how` is wanted, source << 32, direction << 48 and
 * how many microseconds ago the first byte moved << 49.
 */
#define CHUNK(id_, position_, address_, shape_, how_)                                                  \
	{                                                                                              \
		.id = id_,                                                                             \
		.position = position_,                                                                 \
		.bytes = {.address = address_, .segments = (shape_) >> 32, .length = (__u32)(shape_)}, \
		.wanted = (__u32)(how_),                                                               \
		.source = (how_) >> 32,                                                                \
		.direction = (how_) >> 48 & 1,                                                         \
		.lead_us = (how_) >> 49,                                                               \
	}

__noinline int emit_buffer(__u64 id, __u64 position, __u64 address, __u64 shape, __u64 how)
{
	struct chunk chunk = CHUNK(id, position, address, shape, how);

	emit_from_buffer(&chunk);
	return 0;
}

/* What no single record holds: of up to 1 MiB in a buffer. `wanted` is at most the length. */
#define SLICE_BYTES 16376
#define MAX_SLICES 64

__noinline int emit_slices(__u64 id, __u64 position, __u64 address, __u64 shape, __u64 how)
{
	__u64 length = (__u32)shape, wanted = (__u32)how, source = how & ~0xffffffffULL;

	for (__u32 i = 0; i < MAX_SLICES; i++) {
		if (wanted <= SLICE_BYTES)
			break;
		emit_buffer(id, position, address, SLICE_BYTES, source | SLICE_BYTES);
		position += SLICE_BYTES;
		address += SLICE_BYTES;
		length -= SLICE_BYTES;
		wanted -= SLICE_BYTES;
	}
	if (length)
		emit_buffer(id, position, address, (__u32)length, source | (__u32)wanted);
	return 0;
}

#ifdef CAPTURES_SEGMENTS
/* The same of an iovec, each segment by itself. */
__noinline int emit_each_segment(__u64 id, __u64 position, __u64 address, __u64 shape, __u64 how)
{
	const struct user_bytes bytes = {.address = address, .segments = shape >> 32, .length = (__u32)shape};
	__u64 left = bytes.length, wanted = (__u32)how, source = how & ~0xffffffffULL;

	for (__u32 i = 0; i < MAX_SEGMENTS; i++) {
		struct user_iovec iov = {};
		__u64 here, copied;

		if (i >= bytes.segments || read_segment(&iov, &bytes, i))
			break;
		here = smaller(iov.length, left);
		copied = smaller(here, wanted);
		emit_slices(id, position, iov.base, here, source | copied);
		position += here;
		left -= here;
		wanted -= copied;
	}
	if (left)
		emit_buffer(id, position, 0, left, source);
	return 0;
}

__noinline int emit_segments(__u64 id, __u64 position, __u64 address, __u64 shape, __u64 how)
{
	struct chunk chunk = CHUNK(id, position, address, shape, how);

	emit_from_segments(&chunk);
	return 0;
}
#endif

#endif
