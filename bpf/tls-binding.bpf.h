/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The socket of an SSL object that reads and writes memory (Node.js, Python's asyncio): its records move in system calls
 * of their own. Evidence, each on one thread and in the order in which such programs work:
 *   sent      an SSL object wrote n bytes; the next TLS records that the thread sends begin with one that holds n bytes
 *   received  the thread received records; the next bytes that an SSL object reads are what one of these holds
 * Lengths are compared by what the cipher suites add (fits()). Of two objects, or two sockets, that wait at a time either
 * could be meant: nothing is concluded until none waits. Bound is what agreed in both directions; evidence for two sockets,
 * or for a socket that is another object's, refuses the address for good: unknown rather than wrong.
 *
 * Limits: programs that encrypt on one thread and send on another stay unbound, and so do records shorter than the write
 * (max_send_fragment) or padded.
 */
#ifndef PLAINSIGHT_TLS_BINDING_H
#define PLAINSIGHT_TLS_BINDING_H

#include "capture.bpf.h"
#include "sock.h"

/* What waits longer was lost: an object that was freed before its records were sent, records nobody read. */
#define WAITS_NS 100000000ULL
/* Receives of a socket whose records are looked at: a binding needs one that agrees. */
#define CHECKED_RECEIVES 16

/*
 * May a record of this length hold so many bytes? It adds 17 in TLS 1.3 (RFC 8446 section 5.2: type and tag); in TLS 1.2
 * 24 with AES-GCM or CCM (RFC 5288, RFC 6655: nonce and tag), 16 with ChaCha20-Poly1305 (RFC 7905) or CCM_8, and with CBC
 * an IV, a MAC of 20 to 48 bytes and 1 to 16 of padding (RFC 5246 section 6.2.3.2).
 */
static __always_inline int fits(__u32 record, __u32 plaintext)
{
	__u32 most = plaintext > 16384 ? 16384 : plaintext, added = record - most;

	return added == 17 || added == 24 || added == 16 || (added >= 37 && added <= 80 && !(record & 15));
}

static __always_inline int any_fits(__u64 lengths, __u32 plaintext)
{
	int fit = 0;

	for (int i = 0; i < 4; i++) {
		__u32 length = lengths >> 16 * i & 0xffff;

		fit |= length && fits(length, plaintext);
	}
	return fit;
}

/*
 * The lengths of those of the first four records that are application data, 16 bits each; 0 where there is none. Not
 * inlined, for the stack's sake, and global, as emit_buffer() is.
 */
__noinline __u64 walk_records(__u64 address, __u64 left, __u64 segments)
{
	__u64 lengths = 0;

	if (segments) {
		struct user_iovec iov = {};

		if (bpf_probe_read_user(&iov, sizeof(iov), (void *)address))
			return 0;
		address = iov.base;
		left = smaller(iov.length & ~0ULL >> 1, left & 0xffffffff);
	}
	for (int i = 0; i < 4; i++) {
		__u8 head[8] = {};
		__u64 length;

		if (left < TLS_HEADER_BYTES || bpf_probe_read_user(head, TLS_HEADER_BYTES, (void *)address) ||
		    !is_tls_record(head, TLS_HEADER_BYTES))
			break;
		length = head[3] << 8 | head[4];
		if (head[0] == TLS_APPLICATION_DATA)
			lengths |= length << 16 * i;
		length += TLS_HEADER_BYTES;
		address += length;
		left -= smaller(length, left);
	}
	return lengths;
}

/* The SSL object that wrote, or the socket that received, waits. Returns whether it had not, and nothing else had. */
static __always_inline int wait_for(struct side *side, __u64 what)
{
	__u64 now = bpf_ktime_get_ns();

	if (!side->count || now - side->since_ns > WAITS_NS) {
		side->count = 0;
		side->mixed = 0;
		side->since_ns = now;
	}
	if (side->count && side->last == what)
		return 0;
	side->last = what;
	side->mixed |= side->count > 0;
	if (side->count < 255)
		side->count++;
	return side->count == 1;
}

/* What waited is there. Returns whether it can only have been the one. */
static __always_inline int arrived(struct side *side)
{
	int sure = side->count == 1 && !side->mixed;

	if (side->count)
		side->count--;
	if (!side->count)
		side->mixed = 0;
	return sure;
}

static __always_inline void withdraw(struct tls_stream *tls)
{
	tls->refused = 1;
	__builtin_memset(&tls->address, 0, sizeof(tls->address));
	if (tls->socket)
		emit_bound(tls);
}

/* Lengths agree: the object's records may move through this socket. */
static __always_inline void agree(struct tls_stream *tls, __u64 sk, int direction)
{
	if (tls->refused || tls->socket == sk)
		return;
	if (tls->socket ? tls->by_records : tls->candidate && tls->candidate != sk) {
		withdraw(tls);
		count(COUNTER_RECORD_CONFLICT);
		return;
	}
	if (tls->socket) {
		/* What a nested call has proven stands. */
		count(COUNTER_RECORD_CONFLICT);
		return;
	}
	tls->candidate = sk;
	tls->matched |= 1 << direction;
	if (tls->matched != (1 << INGRESS | 1 << EGRESS))
		return;
	tls->socket = sk;
	tls->by_records = 1;
	count(COUNTER_BOUND_RECORD);
	emit_bound(tls);
}

/*
 * The structures of a TLS library say that this struct sock is below the connection: binds what no system call inside of
 * a TLS call has bound, and checks what one has.
 */
static __always_inline void bind_below(struct tls_stream *tls, __u64 sk)
{
	if (tls->socket == sk) {
		count(COUNTER_OFFSET_AGREED);
	} else if (tls->refused) {
		return;
	} else if (!tls->socket) {
		tls->socket = sk;
		fill_address(&tls->address, (const struct sock *)sk);
		count(COUNTER_BOUND_OFFSET);
		emit_bound(tls);
	} else {
		withdraw(tls);
		count(COUNTER_OFFSET_CONFLICT);
	}
}

/* An SSL object wrote. What it sent by itself, in the call, waits for nothing. */
static __always_inline void wrote(struct tls_records *records, const struct tls_stream *tls, __u64 ssl, __u32 length)
{
	if (tls->socket && !tls->by_records)
		return;
	/* Of several writes that wait, the first is what the records begin with. */
	if (wait_for(&records->written, ssl))
		records->plaintext = length;
}

/* TLS records left through a socket, by no TLS call. */
static __always_inline void sent_records(struct tls_records *records, struct stream *stream, const struct sock *sk,
					 const struct user_bytes *bytes, __u32 pid)
{
	struct side *side = &records->written;
	__u32 plaintext = records->plaintext;
	__u64 ssl = side->last;
	struct tls_stream *tls, *other;

	if (!side->count)
		return;
	if (side->mixed || stream->ssl == ssl) {
		arrived(side);
		return;
	}
	if (!any_fits(walk_records(bytes->address, bytes->length, bytes->segments), plaintext))
		return;
	arrived(side);
	tls = find_tls_stream(ssl, pid);
	if (!tls)
		return;
	if (stream->ssl) {
		other = find_tls_stream(stream->ssl, pid);
		if (other && other->candidate == (__u64)sk) {
			withdraw(other);
			withdraw(tls);
			count(COUNTER_RECORD_CONFLICT);
			return;
		}
	}
	stream->ssl = ssl;
	if (!tls->socket && !tls->refused)
		fill_address(&tls->address, sk);
	agree(tls, (__u64)sk, EGRESS);
}

/* TLS records came through a socket, to no TLS call. */
static __always_inline void received_records(struct tls_records *records, struct stream *stream, const struct sock *sk,
					     const struct user_bytes *bytes)
{
	__u64 lengths = 0;

	if (stream->checked < CHECKED_RECEIVES) {
		lengths = walk_records(bytes->address, bytes->length, bytes->segments);
		if (!lengths)
			return;
		stream->checked++;
	}
	wait_for(&records->received, (__u64)sk);
	records->received.fresh = 1;
	records->lengths = lengths;
}

/* An SSL object gave bytes to its program. */
static __always_inline void read_records(struct tls_records *records, struct tls_stream *tls, __u32 length)
{
	struct side *side = &records->received;

	if (!side->count)
		return;
	side->fresh = 0;
	if (arrived(side) && any_fits(records->lengths, length))
		agree(tls, side->last, INGRESS);
}

/* A call that gives no bytes took what was received: a handshake, an alert, not yet a whole record. */
static __always_inline void read_nothing(struct tls_records *records)
{
	if (!records->received.fresh)
		return;
	records->received.fresh = 0;
	arrived(&records->received);
}

#endif
