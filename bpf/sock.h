/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the programs ask of a struct sock, and the way to it from a file descriptor of the current task. */
#ifndef PLAINSIGHT_SOCK_H
#define PLAINSIGHT_SOCK_H

#include "maps.bpf.h"

/*
 * A tracepoint hands over sockets whose type the verifier knows: their fields are loads, where a helper that reads memory
 * takes several times as long. An object all of whose sockets come so says it by SOCKS_ARE_TYPED.
 */
#ifdef SOCKS_ARE_TYPED
#define SOCK_FIELD(sk, field) ((sk)->field)
#else
#define SOCK_FIELD(sk, field) BPF_CORE_READ(sk, field)
#endif

static __always_inline int is_tcp(const struct sock *sk)
{
	unsigned short family = SOCK_FIELD(sk, __sk_common.skc_family);

	return (family == AF_INET || family == AF_INET6) && SOCK_FIELD(sk, sk_protocol) == PROTO_TCP;
}

/* The sequence number behind the last byte that the process has received or sent. Of a TCP socket. */
static __always_inline __u32 end_of(const struct sock *sk, int direction)
{
#ifdef SOCKS_ARE_TYPED
	const struct tcp_sock *tcp = bpf_skc_to_tcp_sock((void *)sk);

	if (!tcp)
		return 0;
	return direction == INGRESS ? tcp->copied_seq : tcp->write_seq;
#else
	const struct tcp_sock *tcp = (const void *)sk;

	return direction == INGRESS ? BPF_CORE_READ(tcp, copied_seq) : BPF_CORE_READ(tcp, write_seq);
#endif
}

static __always_inline void fill_address(struct address *address, const struct sock *sk)
{
	address->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	address->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	address->remote_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (address->family == AF_INET) {
		BPF_CORE_READ_INTO((__u32(*))address->local, sk, __sk_common.skc_rcv_saddr);
		BPF_CORE_READ_INTO((__u32(*))address->remote, sk, __sk_common.skc_daddr);
	} else {
		BPF_CORE_READ_INTO((struct in6_address(*))address->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO((struct in6_address(*))address->remote, sk, __sk_common.skc_v6_daddr);
	}
}

static __always_inline const struct sock *find_socket(__u32 fd)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file *file = NULL, **files;
	struct socket *socket;

	if (fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	files = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & MODE_MASK) != SOCKET_MODE)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

#endif
