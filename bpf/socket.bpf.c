/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Plaintext on sockets, where the kernel has sock_send_length and sock_recv_length (6.3, commit 6e6eda44b939): one hook per finished
 * socket operation, in the calling task. State lies in the socket's own storage and ends with it.
 */
#define SOCKS_ARE_TYPED
#include "socket-io.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct stream);
} sockets SEC(".maps");

static __always_inline int on_socket(struct sock *sk, int moved, int flags, int direction, enum turn turn)
{
	const struct settings *settings = get_settings();
	const struct pt_regs *regs;
	struct stream *stream;

	if (!sk || !settings || moved < 0 || flags & ASIDE_FLAGS ||
	    !is_traced(settings, bpf_get_current_pid_tgid() >> 32))
		return 0;
	if (!is_tcp(sk))
		return 0;
	regs = current_registers();
	if (!regs)
		return 0;
	stream = bpf_sk_storage_get(&sockets, sk, 0, moved ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	if (!stream) {
		if (moved)
			count(COUNTER_LOST_MAP_FULL);
		return 0;
	}
	on_socket_io(stream, sk, direction, moved, regs, settings, SOURCE_SOCKET, turn);
	return 0;
}

static __always_inline int on_socket_change(struct sock *sk, int from, int to)
{
	struct stream *stream = bpf_sk_storage_get(&sockets, sk, 0, 0);

	if (stream)
		on_socket_state(stream, from, to, SOURCE_SOCKET);
	return 0;
}

SEC("tp_btf/sock_send_length")
int socket_send(__u64 *ctx)
{
	return on_socket((struct sock *)ctx[0], (int)ctx[1], 0, EGRESS, FIRST);
}

SEC("tp_btf/sock_recv_length")
int socket_receive(__u64 *ctx)
{
	return on_socket((struct sock *)ctx[0], (int)ctx[1], (int)ctx[2], INGRESS, FIRST);
}

SEC("tp_btf/inet_sock_set_state")
int socket_state(__u64 *ctx)
{
	return on_socket_change((struct sock *)ctx[0], (int)ctx[1], (int)ctx[2]);
}

SEC("tp_btf/sock_send_length")
int socket_send_second(__u64 *ctx)
{
	return on_socket((struct sock *)ctx[0], (int)ctx[1], 0, EGRESS, SECOND);
}

SEC("tp_btf/sock_recv_length")
int socket_receive_second(__u64 *ctx)
{
	return on_socket((struct sock *)ctx[0], (int)ctx[1], (int)ctx[2], INGRESS, SECOND);
}

/* What the first one has said already is not said again. */
SEC("tp_btf/inet_sock_set_state")
int socket_state_second(__u64 *ctx)
{
	return on_socket_change((struct sock *)ctx[0], (int)ctx[1], (int)ctx[2]);
}
