/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Pipelines of HTTP/1 (RFC 9112 section 9.3.2): where several requests, and then several responses, move at once, heads stand
 * anywhere in a chunk. So each request that is seen brings both directions a share of bytes that are copied, which the messages
 * spend together. What is left over lasts until it is spent.
 *
 * Found is what a connection shows of it: two requests in one chunk, or in two without anything of the other direction between.
 * Heads are counted by their "HTTP/1.", which a body may have too: then more is copied than need be. A chunk is counted up to
 * its COUNTED_BYTES, and from there on as if it went on like that.
 *
 * Limits: a share is PIPELINE_SHARE; together they are POOL_BYTES at most. Where responses are larger on the average, or a
 * request behind the first is further away than is counted, heads are missed: user space sees the gap, and counts them as truncated.
 */
#ifndef PLAINSIGHT_PIPELINE_H
#define PLAINSIGHT_PIPELINE_H

#include "emit.bpf.h"

#define PIPELINE_SHARE 16384
#define POOL_BYTES (1U << 20)
#define COUNTED_BYTES (33 * COUNTED_AT_ONCE)
/* Multiple of 4 below a power of two. */
#define COUNTED_AT_ONCE 124
#define COUNTED_SEGMENTS 8

/* As they stand in memory of little-endian machines. */
#define WORD(a, b, c, d) ((__u64)(a) | (b) << 8 | (c) << 16 | (d) << 24)

/*
 * How often "HTTP/1." stands in up to COUNTED_AT_ONCE bytes, or -1: they cannot be read. Of its seven bytes four are at a multiple
 * of 4, wherever it begins. No branches, as elsewhere: the product is 0 where one factor is. A product that overflows to 0
 * counts too; that is rare, and harmless.
 */
__noinline int count_window(__u64 address, __u64 length)
{
	__u32 words[32] = {}, found = 0;

	if (bpf_probe_read_user(words, MASKED(length, 127), (void *)address))
		return -1;
	for (__u32 i = 0; i < COUNTED_AT_ONCE / 4; i++) {
		__u64 word = words[i], product;

		product = (word ^ WORD('H', 'T', 'T', 'P')) * (word ^ WORD('T', 'T', 'P', '/')) *
			  (word ^ WORD('T', 'P', '/', '1')) * (word ^ WORD('P', '/', '1', '.'));
		product = (product | -product) >> 63;
		asm volatile("" : "+r"(product)); /* the compiler would see the comparison, and branch */
		found += 1 - product;
	}
	return found;
}

/* In the first COUNTED_BYTES. */
__noinline int count_starts(__u64 address, __u64 length)
{
	__u64 left = smaller(length & 0xffffffff, COUNTED_BYTES), found = 0;

	for (__u32 at = 0; at < COUNTED_BYTES; at += COUNTED_AT_ONCE) {
		__u64 n = smaller(left, COUNTED_AT_ONCE);
		int here;

		if (!left)
			break;
		here = count_window(address + at, n);
		if (here < 0)
			break;
		found += (__u32)here;
		left -= n;
	}
	return found;
}

/* Of an iovec the first segments are counted. */
__noinline int count_heads(__u64 address, __u64 shape)
{
	const struct user_bytes bytes = {.address = address, .segments = shape >> 32, .length = (__u32)shape};
	__u64 counted = 0, left = bytes.length, found = 0;

	if (!bytes.segments) {
		found = (__u32)count_starts(address, bytes.length);
		counted = smaller(bytes.length, COUNTED_BYTES);
	}
	for (__u32 i = 0; i < COUNTED_SEGMENTS; i++) {
		struct user_iovec iov = {};
		__u64 here;

		if (i >= bytes.segments || read_segment(&iov, &bytes, i))
			break;
		here = smaller(iov.length, left);
		found += (__u32)count_starts(iov.base, here);
		counted += smaller(here, COUNTED_BYTES);
		left -= here;
	}
	found &= 0xffff;
	/* What was not looked at. */
	if (found > 1 && bytes.length > counted && counted)
		found = found * bytes.length / counted;
	return smaller(found, POOL_BYTES / PIPELINE_SHARE);
}

static __always_inline void add_share(struct half *half, __u32 share)
{
	half->budget = smaller((__u64)half->budget + share, POOL_BYTES);
}

/* Bytes of the direction of requests moved; `begins`: a request begins with them. */
static __always_inline void follow_pipeline(struct stream *stream, int direction, const struct user_bytes *bytes,
					    int begins)
{
	__u64 shape = bytes->length | (__u64)bytes->segments << 32;
	int heads = count_heads(bytes->address, shape);
	__u32 share;

	if (begins && (heads > 1 || stream->asked))
		stream->pipelined |= 1 << (direction & 1);
	stream->asked |= begins;
	if (!stream->pipelined)
		return;
	share = (__u32)heads * PIPELINE_SHARE;
	add_share(&stream->half[0], share);
	add_share(&stream->half[1], share);
}

#endif
