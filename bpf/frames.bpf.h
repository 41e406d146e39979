/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Walks the frames of HTTP/2 connections, so that payload of DATA is passed over and everything else is copied. The walk of
 * a direction goes on from chunk to chunk: a frame, its header too, may be cut anywhere. It begins behind the preface, or at a
 * chunk that looks like frames; it ends where a header cannot be one and where bytes were not seen, and then begins anew
 * at a chunk that looks like frames.
 *
 * Limits: MAX_BATCHES records of one chunk, each of FRAME_STEPS steps; a frame is two steps. What is behind them is not
 * looked at, and counted.
 */
#ifndef PLAINSIGHT_FRAMES_BPF_H
#define PLAINSIGHT_FRAMES_BPF_H

#include "emit.bpf.h"
#include "frames.h"

/* 2048 steps: 1000 frames of one chunk. */
#define FRAME_STEPS 64
#define MAX_BATCHES 32
/* Copied in one step at most: the mask that the verifier believes. */
#define STEP_BYTES 255
#define SMALL_CHUNK 256

/* The walk through one direction. Two threads that write to one connection at once can only spoil their own. */
struct frames {
	__u64 position; /* of the next byte */
	__u64 base;     /* within a chunk of segments: what is left of the one that was begun, */
	__u32 here;     /* so many bytes, */
	__u32 segment;  /* and the one behind it */
	__u32 keep;     /* bytes that are copied next, then */
	__u32 skip;     /* bytes that are passed over; then a header begins, of which */
	__u8 have;      /* so many bytes were there when the last chunk ended */
	__u8 in_step;
	__u8 reserved[6];
	__u8 header[32]; /* 9 are used; the rest is what the verifier believes */
};

struct frames_pair {
	struct frames half[2];
};

/*
 * Key: the connection. Written where frames are walked; deleted when the connection closes, least recently used ones go: such a
 * connection is joined again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct frames_pair);
} http2_connections SEC(".maps");

static const struct frames_pair no_frames;

/* What follow_frames() answers. */
#define FOLLOWS_WALK 1  /* the chunk holds bytes that are copied */
#define FOLLOWS_PASS 2  /* all of it is payload that is not */
#define FOLLOWS_OTHER 4 /* the other direction is in step */

/*
 * Is the walk in step where this chunk of `length` bytes begins? Bytes that nobody saw are passed over if they belong to the
 * payload of one frame.
 */
__noinline int follow_frames(__u64 id, __u64 position, __u64 direction, __u64 length)
{
	struct frames_pair *pair = bpf_map_lookup_elem(&http2_connections, &id);
	struct frames *frames;
	__u64 hidden, keep, skip;
	int other;

	if (!pair)
		return 0;
	other = pair->half[~direction & 1].in_step ? FOLLOWS_OTHER : 0;
	frames = &pair->half[direction & 1];
	if (!frames->in_step)
		return other;
	keep = frames->keep;
	skip = frames->skip;
	hidden = position - frames->position;
	if (hidden) {
		__u64 eaten = hidden < keep ? hidden : keep;

		if (frames->have || hidden > keep + skip) {
			frames->in_step = 0;
			return other;
		}
		keep -= eaten;
		skip -= hidden - eaten;
		frames->keep = keep;
		frames->skip = skip;
		frames->position = position;
	}
	return other | (!keep && skip >= length ? FOLLOWS_PASS : FOLLOWS_WALK);
}

/* Frames begin at `position`, behind `keep` bytes of the preface. 0, or -1: there is no room for the connection. */
__noinline int begin_frames(__u64 id, __u64 position, __u64 direction, __u64 keep)
{
	struct frames_pair *pair = bpf_map_lookup_elem(&http2_connections, &id);
	struct frames *frames;

	if (!pair) {
		bpf_map_update_elem(&http2_connections, &id, &no_frames, BPF_NOEXIST);
		pair = bpf_map_lookup_elem(&http2_connections, &id);
		if (!pair)
			return -1;
	}
	frames = &pair->half[direction & 1];
	frames->position = position;
	frames->keep = keep;
	frames->skip = 0;
	frames->have = 0;
	frames->in_step = 1;
	return 0;
}

#ifdef CAPTURES_SEGMENTS
/* The next segment, where one is needed. Behind the last one there is nothing, and that is an error. */
#define NEXT_SEGMENT()                                                                                      \
	do {                                                                                                \
		struct user_iovec iov = {};                                                                 \
		__u64 needed = ~all_if(here) & all_if(segments);                                            \
		__u64 is_one = needed & all_below(frames->segment, segments);                               \
                                                                                                            \
		error |= bpf_probe_read_user(&iov, MASKED(sizeof(iov) & is_one, 31),                        \
					     (void *)((address + frames->segment * sizeof(iov)) & is_one)); \
		error |= (long)(needed & ~is_one);                                                          \
		iov.length &= ~0ULL >> 1;                                                                   \
		base = (base & ~is_one) | (iov.base & is_one);                                              \
		here |= smaller(iov.length, rest) & is_one;                                                 \
		frames->segment += is_one & 1;                                                              \
	} while (0)
#else
#define NEXT_SEGMENT()
#endif

/*
 * The payload of the frame whose header is there, if `whole` is all bits: how much is copied, how much passed over. All
 * bits where no endpoint sends such a header.
 */
static __always_inline __u64 judge_frame(const __u8 *bytes, __u64 budget, __u64 *keep, __u64 *skip)
{
	struct frame_header header = read_frame_header(bytes);
	const struct frame_rule *rule = &frame_rules[MASKED(smaller(header.type, FRAME_OTHER), 15)];
	__u64 length = header.length, kept = smaller(length, smaller(rule->kept, budget));
	__u64 passed = length - kept, few = all_below(passed, LEAST_SKIPPED_BYTES), bad;

	bad = all_below(length, rule->least) | all_below(rule->most, length) | all_if(header.stream >> 31);
	bad |= ~all_if(header.stream) & all_if(rule->on_stream);
	bad |= all_if(header.stream) & all_if(rule->on_connection);
	*keep = kept + (passed & few);
	*skip = passed & ~few;
	return bad;
}

/*
 * A record of what the next steps find: each copies, passes over, and looks at the next header, which the step behind it
 * copies. No branches, so that the verifier follows one path; see EMIT_SEGMENTS().
 */
#define EMIT_FRAMES(room, most_pieces)                                                                            \
	do {                                                                                                      \
		struct {                                                                                          \
			struct data_event event;                                                                  \
			struct piece pieces[most_pieces];                                                         \
			__u8 bytes[(room) + STEP_BYTES + 1];                                                      \
		} *record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);                                     \
                                                                                                                  \
		if (!record) {                                                                                    \
			count(COUNTER_LOST_RING);                                                                 \
			return -1;                                                                                \
		}                                                                                                 \
		__builtin_memset(record->pieces, 0, sizeof(record->pieces));                                      \
		for (__u32 i = 0; i < FRAME_STEPS; i++) {                                                         \
			__u64 n, passing, header, ends, whole, bad, next_keep, next_skip;                         \
                                                                                                                  \
			if (!(all_if(rest) & all_below(piece, most_pieces) & all_below(kept, room)))              \
				break;                                                                            \
			NEXT_SEGMENT();                                                                           \
			n = MASKED(smaller(smaller(keep, here), STEP_BYTES), STEP_BYTES);                         \
			error |= bpf_probe_read_user(record->bytes + MASKED(kept, (room) - 1), n,                 \
						     (void *)(base & all_if(n)));                                 \
			keep -= n;                                                                                \
			kept += n;                                                                                \
			captured += n;                                                                            \
			here -= n;                                                                                \
			rest -= n;                                                                                \
			base += n;                                                                                \
			passing = smaller(skip, here) & ~all_if(keep);                                            \
			skip -= passing;                                                                          \
			passed += passing;                                                                        \
			here -= passing;                                                                          \
			rest -= passing;                                                                          \
			base += passing;                                                                          \
			record->pieces[MASKED(piece, (most_pieces) - 1)].length = captured + passed;              \
			record->pieces[MASKED(piece, (most_pieces) - 1)].captured = captured;                     \
			header = MASKED(smaller(FRAME_HEADER_BYTES - have, here) & ~all_if(keep | skip), 15);     \
			error |= bpf_probe_read_user(frames->header + MASKED(have, 15), header,                   \
						     (void *)(base & all_if(header)));                            \
			/* What was passed over ends a piece where something follows. */                          \
			ends = all_if(header) & all_if(passed);                                                   \
			piece += ends & 1;                                                                        \
			captured &= ~ends;                                                                        \
			passed &= ~ends;                                                                          \
			have += header;                                                                           \
			whole = all_below(FRAME_HEADER_BYTES - 1, have);                                          \
			have &= ~whole;                                                                           \
			bad = judge_frame(frames->header, budget, &next_keep, &next_skip) & whole;                \
			keep += (header + (next_keep & whole)) & ~bad;                                            \
			skip |= (next_skip & whole & ~bad) | (bad & MOST_BYTES << 7);                             \
			broken |= bad;                                                                            \
		}                                                                                                 \
		if (error || rest == before) {                                                                    \
			count(COUNTER_LOST_READ);                                                                 \
			kept = 0;                                                                                 \
			rest = 0;                                                                                 \
			piece = 0;                                                                                \
			broken = 1;                                                                               \
		} else {                                                                                          \
			piece += all_if(captured + passed) & 1;                                                   \
		}                                                                                                 \
		record->event.position = position + offset;                                                       \
		record->event.length = before - rest;                                                             \
		record->event.captured = kept;                                                                    \
		record->event.direction = direction;                                                              \
		record->event.tail = 0;                                                                           \
		record->event.pieces = piece;                                                                     \
		record->event.slots = piece ? (most_pieces) : 0;                                                  \
		__builtin_memset(record->event.reserved, 0, sizeof(record->event.reserved));                      \
		fill_header_before(&record->event.header,                                                         \
				   sizeof(struct data_event) + record->event.slots * sizeof(struct piece) + kept, \
				   EVENT_DATA, source, id, how >> 49);                                            \
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);                                                     \
	} while (0)

/*
 * One record of a chunk, of what is behind the records before. `shape` and `how` are those of emit_buffer(), with the budget
 * of one frame in the place of what is wanted. The bytes that are left, or -1: it cannot go on.
 */
__noinline int emit_frames(__u64 id, __u64 position, __u64 address, __u64 shape, __u64 how)
{
	struct frames_pair *pair = bpf_map_lookup_elem(&http2_connections, &id);
	__u64 budget = (__u32)how, source = how >> 32 & 0xffff, direction = how >> 48 & 1;
	__u64 offset, rest, before, keep, skip, have, base, here;
	__u64 kept = 0, piece = 0, captured = 0, passed = 0, broken = 0;
	struct frames *frames;
	long error = 0;
#ifdef CAPTURES_SEGMENTS
	__u64 segments = shape >> 32;
#endif

	if (!pair)
		return -1;
	frames = &pair->half[direction];
	offset = frames->position - position;
	before = (__u32)shape - offset;
	if (offset >= 1ULL << 31 || !before || before >= 1ULL << 31)
		return -1;
	rest = before;
	keep = frames->keep;
	skip = frames->skip;
	have = frames->have & 15;
	base = address + offset;
	here = rest;
#ifdef CAPTURES_SEGMENTS
	/* No branches here either: each would double the states of all steps. */
	frames->segment &= all_if(offset);
	base = (frames->base & all_if(segments)) | (base & ~all_if(segments));
	here = (frames->here & all_if(offset) & all_if(segments)) | (here & ~all_if(segments));
#endif
	if (rest < SMALL_CHUNK)
		EMIT_FRAMES(SMALL_CHUNK, 4);
	else
		EMIT_FRAMES(2048, 16);
	count_by(COUNTER_CAPTURED_BYTES, kept);
	frames->position += before - rest;
	frames->keep = keep;
	frames->skip = skip;
	frames->have = have;
	frames->in_step = !broken;
#ifdef CAPTURES_SEGMENTS
	frames->base = base;
	frames->here = here;
#endif
	return rest;
}

/* The whole chunk. */
static __always_inline void emit_all_frames(__u64 id, __u64 position, __u64 address, __u64 shape, __u64 how)
{
	for (__u32 i = 0; i < MAX_BATCHES; i++)
		if (emit_frames(id, position, address, shape, how) <= 0)
			return;
	count(COUNTER_LOST_FRAMES);
}

#endif
