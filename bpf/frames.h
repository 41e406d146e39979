/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * HTTP/2 frames by their headers (RFC 9113 sections 4.1 and 6): what is copied of each, and whether bytes look like one.
 * Pure: no helper, no map. It reads no header block and knows no stream; the parser in user space is the judge.
 *
 * Of a frame are copied its header and as much of its payload as its rule says: nothing that counts is in the payload of
 * DATA but the length of the first message of a gRPC call. What is shorter than a piece of a record costs is copied along.
 */
#ifndef PLAINSIGHT_FRAMES_H
#define PLAINSIGHT_FRAMES_H

#include <linux/types.h>

#define FRAME_HEADER_BYTES 9
/* Flag and length of a gRPC message. */
#define MESSAGE_PREFIX_BYTES 5
/* Payload that is passed over is at least so long: a piece and the step that makes it cost more than a few more bytes. */
#define LEAST_SKIPPED_BYTES 256
/* Of header blocks: whatever the budget of a message is. */
#define ALL_OF_BUDGET 0xffffffU
/* DEFAULT_MAX_FRAME_BYTES and the other limits of joins are those of src/http/http2/frames.ts. */
#define MOST_BYTES 0xffffffU

enum frame_type {
	FRAME_DATA = 0,
	FRAME_HEADERS,
	FRAME_PRIORITY,
	FRAME_RST_STREAM,
	FRAME_SETTINGS,
	FRAME_PUSH_PROMISE,
	FRAME_PING,
	FRAME_GOAWAY,
	FRAME_WINDOW_UPDATE,
	FRAME_CONTINUATION,
	FRAME_OTHER, /* any type that is not known: RFC 9113 section 5.5 lets endpoints ignore them */
};

struct frame_rule {
	__u32 least; /* bytes of payload */
	__u32 most;
	__u32 most_joined; /* where nobody vouches for the frame; 0: none begins there */
	__u32 kept;        /* bytes of payload that are copied */
	__u8 flags;        /* that are defined */
	__u8 multiple_of;
	__u8 on_stream; /* 1: belongs to a stream, never to the connection */
	__u8 on_connection;
};

/* 16 rows: a power of two, for the index. */
static const struct frame_rule frame_rules[16] = {
	[FRAME_DATA] = {0, MOST_BYTES, 1 << 20, MESSAGE_PREFIX_BYTES, 0x09, 1, 1, 0},
	[FRAME_HEADERS] = {1, MOST_BYTES, 16384, ALL_OF_BUDGET, 0x2d, 1, 1, 0},
	[FRAME_PRIORITY] = {5, 5, 5, 5, 0, 1, 1, 0},
	[FRAME_RST_STREAM] = {4, 4, 4, 4, 0, 1, 1, 0},
	[FRAME_SETTINGS] = {0, 6 * 1024, 6 * 32, 6 * 32, 0x01, 6, 0, 1},
	[FRAME_PUSH_PROMISE] = {5, MOST_BYTES, 16384, ALL_OF_BUDGET, 0x0c, 1, 1, 0},
	[FRAME_PING] = {8, 8, 8, 8, 0x01, 1, 0, 1},
	[FRAME_GOAWAY] = {8, 65536, 1024, 8, 0, 1, 0, 1},
	[FRAME_WINDOW_UPDATE] = {4, 4, 4, 4, 0, 1, 0, 0},
	[FRAME_CONTINUATION] = {0, MOST_BYTES, 0, ALL_OF_BUDGET, 0x04, 1, 1, 0},
	[FRAME_OTHER] = {0, 65536, 0, 0, 0xff, 1, 0, 0},
};

struct frame_header {
	__u32 length;
	__u32 stream;
	__u8 type;
	__u8 flags;
	__u8 reserved[2];
};

static __always_inline struct frame_header read_frame_header(const __u8 *bytes)
{
	struct frame_header header = {
		.length = (__u32)bytes[0] << 16 | (__u32)bytes[1] << 8 | bytes[2],
		.type = bytes[3],
		.flags = bytes[4],
		.stream = (__u32)bytes[5] << 24 | (__u32)bytes[6] << 16 | (__u32)bytes[7] << 8 | bytes[8],
	};

	return header;
}

/*
 * Could an endpoint in good order send a frame with this header? Stricter than a receiver may be: of random headers about
 * one in a million passes.
 */
static __always_inline int is_plausible_frame(const struct frame_header *header)
{
	const struct frame_rule *rule;

	if (header->type >= FRAME_OTHER)
		return 0;
	rule = &frame_rules[header->type & 15];
	if (header->length < rule->least || header->length > rule->most_joined || header->length % rule->multiple_of)
		return 0;
	if (header->flags & ~rule->flags || header->stream >> 31)
		return 0;
	/* A frame that does nothing; an acknowledgement that says something. */
	if (header->type == FRAME_DATA && !header->length && header->flags != 1)
		return 0;
	if (header->type == FRAME_SETTINGS && header->flags && header->length)
		return 0;
	return header->stream ? !rule->on_connection : !rule->on_stream;
}

#endif
