/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How a socket finds its place in the tables of the TCP programs: who owns it, who is at the other end, and under which
 * flow it counts.
 */
#ifndef PLAINSIGHT_TCP_FLOW_H
#define PLAINSIGHT_TCP_FLOW_H

#include "tcp-maps.bpf.h"

#define OFFSET_OF(type, field) __builtin_offsetof(type, field)

static const struct flow no_flow;

static __always_inline const struct tcp_scan *get_scan(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&scan, &key);
}

static __always_inline int is_tcp_socket(const struct sock *sk)
{
	unsigned short family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return (family == AF_INET || family == AF_INET6) && BPF_CORE_READ(sk, sk_protocol) == PROTO_TCP;
}

/* ::ffff:a.b.c.d */
static __always_inline void map_address(__u8 *to, __u32 v4)
{
	to[10] = 0xff;
	to[11] = 0xff;
	__builtin_memcpy(to + 12, &v4, sizeof(v4));
}

/* Of a socket, or of a request that waits for its handshake: both begin with a sock_common. `ends` is zero before. */
static __always_inline void fill_ends(struct ends *ends, const struct sock *sk)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET) {
		map_address(ends->local, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		map_address(ends->remote, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	} else {
		BPF_CORE_READ_INTO((struct in6_address(*))ends->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO((struct in6_address(*))ends->remote, sk, __sk_common.skc_v6_daddr);
	}
	ends->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	ends->remote_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	ends->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

static __always_inline __u64 half_of(const __u8 *address, int half)
{
	__u64 value;

	__builtin_memcpy(&value, address + 8 * half, sizeof(value));
	return value;
}

static __always_inline int is_same(const __u8 *a, const __u8 *b)
{
	return half_of(a, 0) == half_of(b, 0) && half_of(a, 1) == half_of(b, 1);
}

static __always_inline int is_mapped(const __u8 *address)
{
	return !half_of(address, 0) && !address[8] && !address[9] && address[10] == 0xff && address[11] == 0xff;
}

/* 127.0.0.0/8 and ::1: each network namespace has its own. */
static __always_inline int is_loopback(const __u8 *address)
{
	if (is_mapped(address))
		return address[12] == 127;
	return !half_of(address, 0) && half_of(address, 1) == __builtin_bswap64(1);
}

/* The place of a time in TIME_BOUNDS. */
static __always_inline __u32 time_bucket(__u64 us)
{
	const __u64 bounds[] = TIME_BOUNDS;
	__u32 bucket = 0;

#pragma unroll
	for (__u32 i = 0; i < TIME_BUCKETS - 1; i++)
		if (us > bounds[i])
			bucket = i + 1;
	return bucket;
}

/* FNV-1a over words, with a last mix: whom it takes for whom is a matter of 2^-64. */
static __always_inline __u64 owner_id(const struct owner *owner)
{
	const __u64 *words = (const void *)owner;
	__u64 hash = 0xcbf29ce484222325;

#pragma unroll
	for (__u32 i = 0; i < OFFSET_OF(struct owner, process_start_ns) / sizeof(__u64); i++) {
		hash = (hash ^ words[i]) * 0x100000001b3;
		hash ^= hash >> 29;
	}
	return hash ? hash : 1;
}

static __always_inline __u64 remember_owner(const struct owner *owner)
{
	__u64 id = owner_id(owner);

	if (!bpf_map_lookup_elem(&owners, &id))
		bpf_map_update_elem(&owners, &id, owner, BPF_ANY);
	return id;
}

static __always_inline __u64 owner_of_task(struct task_struct *task, __u64 cgroup_id)
{
	struct owner owner = {.cgroup_id = cgroup_id};

	owner.pid = BPF_CORE_READ(task, tgid);
	owner.process_start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	if (BPF_CORE_READ(task, flags) & KTHREAD) {
		__builtin_memcpy(owner.executable, "kernel", sizeof("kernel"));
	} else {
		const unsigned char *name = BPF_CORE_READ(task, mm, exe_file, f_path.dentry, d_name.name);

		bpf_probe_read_kernel_str(owner.executable, sizeof(owner.executable), name);
	}
	return remember_owner(&owner);
}

/* By the cgroup that the socket was made in; a listener hands it to what it accepts. */
static __always_inline __u64 owner_of_socket(const struct sock *sk)
{
	struct owner owner = {};
	const struct cgroup *cgroup;

	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup)) {
		cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	} else {
		const struct sock_cgroup_data___before_5_15 *data = (const void *)__builtin_preserve_access_index(
			&sk->sk_cgrp_data);
		__u64 value = BPF_CORE_READ(data, val);

		cgroup = value & 3 ? NULL : (const void *)value;
	}
	owner.cgroup_id = BPF_CORE_READ(cgroup, kn, id);
	return remember_owner(&owner);
}

/* Who listens at an address of this network namespace, by itself or at all addresses. */
static __always_inline struct tcp_process *find_listener(const struct ends *ends, const __u8 *address, __u16 port)
{
	struct tcp_endpoint endpoint = {.port = port, .netns = ends->netns};
	struct tcp_process *found;

	__builtin_memcpy(endpoint.address, address, sizeof(endpoint.address));
	found = bpf_map_lookup_elem(&listeners, &endpoint);
	if (found)
		return found;
	__builtin_memset(endpoint.address, 0, sizeof(endpoint.address));
	return bpf_map_lookup_elem(&listeners, &endpoint);
}

static __always_inline void remember_listener(const struct sock *sk, __u64 owner, __u32 pid)
{
	const struct settings *settings = get_settings();
	struct tcp_process process = {.owner = owner, .pid = pid};
	struct tcp_endpoint endpoint = {};
	struct ends ends = {};

	fill_ends(&ends, sk);
	endpoint.port = ends.local_port;
	endpoint.netns = ends.netns;
	/* 0.0.0.0 is any address, as :: is. */
	if (!is_mapped(ends.local) || half_of(ends.local, 1) != half_of((const __u8[16]){[10] = 0xff, [11] = 0xff}, 1))
		__builtin_memcpy(endpoint.address, ends.local, sizeof(endpoint.address));
	process.self = settings && settings->self_pid == pid;
	bpf_map_update_elem(&listeners, &endpoint, &process, BPF_ANY);
}

static __always_inline void fill_tuple(struct tcp_tuple *tuple, const struct ends *ends, int role)
{
	const __u8 *client = role == ROLE_CLIENT ? ends->local : ends->remote;
	const __u8 *server = role == ROLE_CLIENT ? ends->remote : ends->local;

	__builtin_memcpy(tuple->client, client, sizeof(tuple->client));
	__builtin_memcpy(tuple->server, server, sizeof(tuple->server));
	tuple->client_port = role == ROLE_CLIENT ? ends->local_port : ends->remote_port;
	tuple->server_port = role == ROLE_CLIENT ? ends->remote_port : ends->local_port;
	tuple->netns = is_loopback(ends->remote) ? ends->netns : 0;
}

static __always_inline void remember_client(const struct connection *connection, const struct ends *ends)
{
	struct tcp_process process = {.owner = connection->key.owner, .pid = connection->pid};
	struct tcp_tuple tuple = {};

	fill_tuple(&tuple, ends, ROLE_CLIENT);
	bpf_map_update_elem(&clients, &tuple, &process, BPF_ANY);
}

static __always_inline void remember_server(const struct tcp_process *process, const struct ends *ends)
{
	struct tcp_endpoint endpoint = {.port = ends->local_port};
	struct tcp_process value = *process;

	__builtin_memcpy(endpoint.address, ends->local, sizeof(endpoint.address));
	if (is_loopback(ends->local))
		endpoint.netns = ends->netns;
	bpf_map_update_elem(&servers, &endpoint, &value, BPF_ANY);
}

/*
 * The flow that a connection counts under. Of a client's peer, the process that listens is known when it does so in the
 * same namespace; of a server's, the client, wherever on this node. Not 0: the peer is the agent, which is not looked at.
 */
static __always_inline int fill_key(struct flow_key *key, __u64 owner, const struct ends *ends, int role)
{
	struct tcp_process *peer = NULL;
	struct prefix prefix = {.bits = 128};

	key->owner = owner;
	key->role = role;
	if (role == ROLE_CLIENT) {
		key->port = ends->remote_port;
		if (is_loopback(ends->remote) || is_same(ends->local, ends->remote))
			peer = find_listener(ends, ends->remote, ends->remote_port);
	} else {
		struct tcp_tuple tuple = {};

		key->port = ends->local_port;
		fill_tuple(&tuple, ends, ROLE_SERVER);
		peer = bpf_map_lookup_elem(&clients, &tuple);
	}
	if (peer) {
		key->peer_owner = peer->owner;
		return peer->self;
	}
	__builtin_memcpy(prefix.address, ends->remote, sizeof(prefix.address));
	if (bpf_map_lookup_elem(&inside, &prefix))
		__builtin_memcpy(key->peer, ends->remote, sizeof(key->peer));
	return 0;
}

/* For what happens to an accepted socket that is not in the table of connections, or to a request before it is one. */
static __always_inline int key_of_accepted(struct flow_key *key, const struct sock *request, const struct sock *sk)
{
	struct tcp_process *listener;
	struct ends ends = {};

	fill_ends(&ends, request);
	listener = find_listener(&ends, ends.local, ends.local_port);
	if (listener && listener->self)
		return 1;
	return fill_key(key, listener ? listener->owner : owner_of_socket(sk), &ends, ROLE_SERVER);
}

static __always_inline int key_of_socket(struct flow_key *key, const struct sock *sk)
{
	struct ends ends = {};
	int role;

	fill_ends(&ends, sk);
	role = find_listener(&ends, ends.local, ends.local_port) ? ROLE_SERVER : ROLE_CLIENT;
	return fill_key(key, owner_of_socket(sk), &ends, role);
}

static __always_inline struct flow *find_flow(const struct flow_key *key)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, key);
	struct flow_key overflow = {};

	if (flow)
		return flow;
	bpf_map_update_elem(&flows, key, &no_flow, BPF_NOEXIST);
	flow = bpf_map_lookup_elem(&flows, key);
	if (flow)
		return flow;
	count(COUNTER_TCP_OVERFLOW);
	overflow.role = key->role;
	return bpf_map_lookup_elem(&flows, &overflow);
}

static __always_inline struct connection *find_connection(struct sock *sk)
{
	return bpf_map_lookup_elem(&connections, &sk);
}

/* Not 0: there is no place for it. */
static __always_inline int track(struct sock *sk, const struct connection *connection, __u64 flags)
{
	return bpf_map_update_elem(&connections, &sk, connection, flags) != 0;
}

static __always_inline void observe_rtt(struct flow *flow, const struct sock *sk)
{
	const struct tcp_sock *tcp = (const void *)sk;
	__u32 us = BPF_CORE_READ(tcp, srtt_us) >> 3;

	if (!us)
		return;
	__sync_fetch_and_add(&flow->rtt_us, us);
	__sync_fetch_and_add(&flow->rtt[time_bucket(us)], 1);
}

/*
 * Of a socket that works meanwhile on another CPU, perhaps too few: the kernel counts a segment as sent again before it
 * counts it as sent. SYN and FIN, which take numbers, are not among the bytes that are sent.
 */
static __always_inline void read_totals(struct totals *totals, const struct sock *sk)
{
	const struct tcp_sock *tcp = (const void *)sk;

	totals->sent = BPF_CORE_READ(tcp, bytes_sent);
	totals->sent -= BPF_CORE_READ(tcp, bytes_retrans);
	totals->received = BPF_CORE_READ(tcp, bytes_received);
	totals->received -= BPF_CORE_READ(sk, __sk_common.skc_flags) >> SOCK_DONE_BIT & 1;
}

/*
 * Gives the flow what is new of one direction. The few instructions between reading `told` and writing it are all in which a
 * scan and a close of the same connection could count the same twice.
 */
static __always_inline void tell(__u64 *sum, volatile __u64 *told, __u64 now)
{
	__u64 more = now - *told;

	*told = now;
	__sync_fetch_and_add(sum, more);
}

static __always_inline __u32 read_retransmits(const struct sock *sk)
{
	return BPF_CORE_READ((const struct tcp_sock *)sk, total_retrans);
}

/*
 * By the socket's own count, which rises with TcpRetransSegs. The tracepoint alone does not: some kernels (6.18) run it for
 * attempts that were put off too, others leave it out where sending failed (net/ipv4/tcp_output.c).
 */
static __always_inline void count_retransmits(struct flow *flow, struct connection *connection, const struct sock *sk)
{
	__u32 now = read_retransmits(sk), more = now - connection->retransmits;

	connection->retransmits = now;
	__sync_fetch_and_add(&flow->retransmits, more);
}

/* A connection that is older than the programs: counted from here on, and not as opened. */
static __always_inline void adopt(struct sock *sk, __u64 owner, __u32 pid, int role)
{
	const struct settings *settings = get_settings();
	struct connection connection = {.pid = pid, .opened = 1};
	struct ends ends = {};

	if (!settings || settings->self_pid == pid || find_connection(sk))
		return;
	fill_ends(&ends, sk);
	if ((role == ROLE_SERVER) != !!find_listener(&ends, ends.local, ends.local_port))
		return;
	if (fill_key(&connection.key, owner, &ends, role))
		return;
	connection.local_port = ends.local_port;
	connection.remote_port = ends.remote_port;
	read_totals(&connection.told, sk);
	connection.retransmits = read_retransmits(sk);
	if (role == ROLE_CLIENT)
		remember_client(&connection, &ends);
	track(sk, &connection, BPF_NOEXIST);
}

#endif
