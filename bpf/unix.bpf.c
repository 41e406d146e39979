/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What moves over sockets that are not TCP's: HTTP over Unix stream sockets is captured, QUIC (RFC 9000) is counted as seen.
 * Of all else no more is read than the filter's few first bytes, and nothing is kept.
 *
 * A Unix socket has no sequence numbers, so the position is a count of what was seen: bytes that are spliced out of one are
 * missing from it. It has no tracepoint for its end either. A receive that returns 0, or fails because the peer is gone,
 * tells of both sockets of the pair; where neither side looks, the end is told when the memory serves the next socket.
 * Needs sock_send_length and sock_recv_length (6.3, commit 6e6eda44b939). What the kernel skips (see SECOND in socket-io.bpf.h) a
 * second program does; two threads that send, or receive, on one socket at the very same time could then count twice.
 */
#define SOCKS_ARE_TYPED
#include "socket-io.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define QUIC_PORT 443
#define ECONNRESET 104

struct unix_stream {
	struct stream stream;
	__u64 inode;   /* of the socket: another one at the same address has another */
	__u64 done[2]; /* by direction: the thread whose operation the first program has seen, the second not yet */
};

/* Key: address of the struct sock. Written here alone. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct unix_stream);
} unix_streams SEC(".maps");

/* What new entries begin as: in read-only data, because the stack is too small for them. */
static const struct unix_stream no_unix_stream;

static __always_inline void close_unix(__u64 key, struct unix_stream *found, int reset)
{
	emit_close(&found->stream, reset, SOURCE_SOCKET);
	bpf_map_delete_elem(&unix_streams, &key);
}

static __always_inline struct unix_stream *find_unix(__u64 key, __u64 inode)
{
	struct unix_stream *found = bpf_map_lookup_elem(&unix_streams, &key);

	if (!found || found->inode == inode)
		return found;
	close_unix(key, found, 0);
	return NULL;
}

static __always_inline struct unix_stream *make_unix(__u64 key, __u64 inode)
{
	struct unix_stream *made;

	bpf_map_update_elem(&unix_streams, &key, &no_unix_stream, BPF_ANY);
	made = bpf_map_lookup_elem(&unix_streams, &key);
	if (made)
		made->inode = inode;
	else
		count(COUNTER_LOST_MAP_FULL);
	return made;
}

/* A receive found that nothing comes any more. */
static __always_inline void on_unix_end(struct sock *sk, int reset)
{
	const struct unix_sock *pair = (const void *)sk;
	__u64 key = (__u64)sk, peer = (__u64)BPF_CORE_READ(pair, peer);
	struct unix_stream *here = bpf_map_lookup_elem(&unix_streams, &key);
	/* This socket holds its peer, so no other can have that address. */
	struct unix_stream *there = peer ? bpf_map_lookup_elem(&unix_streams, &peer) : NULL;
	int is_over = reset || (BPF_CORE_READ(sk, sk_shutdown) & SHUTDOWN_MASK) == SHUTDOWN_MASK;

	if (there) {
		emit_end(&there->stream, EGRESS, SOURCE_SOCKET);
		if (is_over)
			close_unix(peer, there, reset);
	}
	if (here) {
		emit_end(&here->stream, INGRESS, SOURCE_SOCKET);
		if (is_over)
			close_unix(key, here, reset);
	}
}

/* The process at the other end: who connected, or who listened. What init listens for it hands to others. */
static __always_inline void fill_unix_address(struct address *address, const struct sock *sk)
{
	__u32 pid = BPF_CORE_READ(sk, sk_peer_pid, numbers[0].nr);

	address->family = AF_UNIX;
	if (pid > 1)
		__builtin_memcpy(address->remote, &pid, sizeof(pid));
}

static __always_inline void on_unix(struct sock *sk, int moved, int direction, const struct settings *settings,
				    enum turn turn)
{
	__u64 key = (__u64)sk, inode, position;
	const struct pt_regs *regs;
	struct user_bytes bytes = {};
	struct address address = {};
	struct endpoint endpoint = {.address = &address};
	struct unix_stream *found;
	struct verdict verdict;

	if (moved <= 0) {
		if (direction == INGRESS && (moved == 0 || moved == -ECONNRESET))
			on_unix_end(sk, moved != 0);
		return;
	}
	if (!is_traced(settings, bpf_get_current_pid_tgid() >> 32))
		return;
	regs = current_registers();
	if (!regs)
		return;
	inode = BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);
	found = find_unix(key, inode);
	if (turn == SECOND && found && found->done[direction & 1] == bpf_get_current_pid_tgid()) {
		found->done[direction & 1] = 0;
		return;
	}
	if (IS_IN_SYSCALL(regs))
		find_bytes(regs, &bytes);
	bytes.length = moved;
	if (!found) {
		if (!bytes.address || (look(bytes.address, bytes.length | (__u64)bytes.segments << 32, FILTER_REFUSED) &
				       0xff) == FILTER_REFUSED) {
			if (turn == FIRST)
				count(COUNTER_CHUNKS_OTHER);
			return;
		}
		found = make_unix(key, inode);
		if (!found)
			return;
	}
	if (turn == FIRST)
		found->done[direction & 1] = bpf_get_current_pid_tgid();
	position = advance(&found->stream, direction, moved);
	if (is_excluded(&found->stream, settings)) {
		count(COUNTER_CHUNKS_EXCLUDED);
		return;
	}
	verdict = judge(&found->stream, direction, &bytes, settings, position);
	if (!verdict.http)
		return;
	if (!found->stream.announced)
		fill_unix_address(&address, sk);
	capture(&found->stream, direction, SOURCE_SOCKET, &bytes, &endpoint, position, verdict.walks, 0, settings);
}

/*
 * The long header of QUIC (RFC 9000 section 17.2), which begins each connection: two bits and the version, 1, 2 (RFC 9369) or
 * of a draft. Ports tell the little that is looked at at all.
 */
static __always_inline void on_udp(const struct sock *sk, int moved)
{
	struct user_bytes bytes = {};
	const struct pt_regs *regs;
	__u8 head[8] = {};
	__u32 version;

	if (moved < 7 || (BPF_CORE_READ(sk, __sk_common.skc_num) != QUIC_PORT &&
			  BPF_CORE_READ(sk, __sk_common.skc_dport) != __builtin_bswap16(QUIC_PORT)))
		return;
	regs = current_registers();
	if (!regs)
		return;
	find_bytes(regs, &bytes);
	if (!bytes.address || bytes.segments || bpf_probe_read_user(head, 5, (void *)bytes.address))
		return;
	version = (__u32)head[1] << 24 | head[2] << 16 | head[3] << 8 | head[4];
	if ((head[0] & 0xc0) == 0xc0 && (version == 1 || version == 0x6b3343cf || version >> 8 == 0xff0000))
		count(COUNTER_QUIC);
}

static __always_inline void on_io(struct sock *sk, int moved, int flags, int direction, enum turn turn)
{
	const struct settings *settings;
	unsigned short family;

	if (!sk)
		return;
	/* Nearly all that comes here is TCP's, and leaves. */
	family = SOCK_FIELD(sk, __sk_common.skc_family);
	if (family == AF_UNIX ? SOCK_FIELD(sk, sk_type) != SOCK_STREAM : SOCK_FIELD(sk, sk_protocol) != PROTO_UDP)
		return;
	settings = get_settings();
	if (!settings || flags & ASIDE_FLAGS)
		return;
	if (family == AF_UNIX)
		on_unix(sk, moved, direction, settings, turn);
	else if (turn == FIRST && (family == AF_INET || family == AF_INET6))
		on_udp(sk, moved);
}

SEC("tp_btf/sock_send_length")
int unix_send(__u64 *ctx)
{
	on_io((struct sock *)ctx[0], (int)ctx[1], 0, EGRESS, FIRST);
	return 0;
}

SEC("tp_btf/sock_recv_length")
int unix_receive(__u64 *ctx)
{
	on_io((struct sock *)ctx[0], (int)ctx[1], (int)ctx[2], INGRESS, FIRST);
	return 0;
}

SEC("tp_btf/sock_send_length")
int unix_send_second(__u64 *ctx)
{
	on_io((struct sock *)ctx[0], (int)ctx[1], 0, EGRESS, SECOND);
	return 0;
}

SEC("tp_btf/sock_recv_length")
int unix_receive_second(__u64 *ctx)
{
	on_io((struct sock *)ctx[0], (int)ctx[1], (int)ctx[2], INGRESS, SECOND);
	return 0;
}
