/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The health of TCP connections, of every process and network namespace: opened, failed, retransmitted, bytes, times. What happens
 * is added up here by (owner, peer, serving port, role); user space reads sums when somebody asks. Nothing runs per packet:
 * changes of state, retransmits and resets do, and an iterator over the open connections at each read.
 *
 * A socket belongs to the process that connected it, or that made its listener listen: these run in its system calls. All else
 * happens in whatever context a packet arrives, and never looks at the current task. UDP and Unix sockets are left out: they
 * have no connection whose health could be told.
 *
 * Limits: the tables below. A full table of flows counts in one overflow flow per role, a full table of connections costs
 * what is told at their end; both are counted. An accepted socket whose listener was made by another process than the one that
 * accepts (socket activation) belongs to the one that listened.
 */
#include "tcp-flow.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * The kernel skips a program on a CPU on which it runs already: from 7.0 on tracepoints can be preempted (commit a46023d5616e),
 * and what a process does to its own socket (connect, listen, what arrived while it held the lock) can everywhere be interrupted
 * by packets of others. So tcp_state has a SECOND behind it. A change of state that the first one has seen shows in the table of
 * connections; what finds no place there is the first one's to count.
 *
 * The others need none. tcp_open and tcp_held are iterators, which the kernel does not skip. A SYN-ACK is sent again in soft
 * interrupts alone, which do not interrupt each other. A retransmit that is missed is in the socket's own count, which the
 * next one, or the close, makes good. A reset that is missed shows at the close, in the socket's error.
 */
enum turn {
	FIRST,
	SECOND,
};

/* A process begins to connect: its own system call. */
static __always_inline void on_connecting(struct sock *sk, enum turn turn)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	const struct settings *settings = get_settings();
	struct connection connection = {};
	struct ends ends = {};

	if (!settings || pid == settings->self_pid)
		return;
	if (turn == SECOND) {
		const struct connection *seen = find_connection(sk);

		if (seen && !seen->opened)
			return;
	}
	fill_ends(&ends, sk);
	if (fill_key(&connection.key, owner_of_task(task, bpf_get_current_cgroup_id()), &ends, ROLE_CLIENT))
		return;
	connection.start_ns = bpf_ktime_get_ns();
	connection.pid = pid;
	if (track(sk, &connection, BPF_ANY) && turn == FIRST)
		count(COUNTER_TCP_UNTRACKED);
}

/* The answer has come. From here on the client's own port is known. */
static __always_inline void on_connected(struct sock *sk)
{
	struct connection *connection = find_connection(sk);
	struct ends ends = {};
	struct flow *flow;
	__u64 us;

	if (!connection || connection->opened)
		return;
	fill_ends(&ends, sk);
	connection->local_port = ends.local_port;
	connection->remote_port = ends.remote_port;
	remember_client(connection, &ends);
	connection->opened = 1;
	flow = find_flow(&connection->key);
	if (!flow)
		return;
	us = (bpf_ktime_get_ns() - connection->start_ns) / 1000;
	__sync_fetch_and_add(&flow->opened, 1);
	__sync_fetch_and_add(&flow->connect_us, us);
	__sync_fetch_and_add(&flow->connect[time_bucket(us)], 1);
}

/* A handshake ended at a listener: in whatever context the last packet came. */
static __always_inline void on_accepted(struct sock *sk, enum turn turn)
{
	struct connection connection = {};
	struct tcp_process *listener;
	struct ends ends = {};
	struct flow *flow;
	__u64 owner;

	if (turn == SECOND && find_connection(sk))
		return;
	fill_ends(&ends, sk);
	listener = find_listener(&ends, ends.local, ends.local_port);
	if (listener && listener->self)
		return;
	if (listener) {
		owner = listener->owner;
		connection.pid = listener->pid;
		remember_server(listener, &ends);
	} else {
		owner = owner_of_socket(sk);
	}
	if (fill_key(&connection.key, owner, &ends, ROLE_SERVER))
		return;
	connection.local_port = ends.local_port;
	connection.remote_port = ends.remote_port;
	connection.opened = 1;
	/* It begins with those of the handshake. */
	connection.retransmits = read_retransmits(sk);
	if (track(sk, &connection, BPF_ANY)) {
		if (turn == SECOND)
			return;
		count(COUNTER_TCP_UNTRACKED);
	}
	flow = find_flow(&connection.key);
	if (flow)
		__sync_fetch_and_add(&flow->opened, 1);
}

/* Why a connection is at its end; FAILURE_COUNT: in order. */
static __always_inline __u32 failure_of(const struct connection *connection, const struct sock *sk, int before)
{
	int error = BPF_CORE_READ(sk, sk_err);

	if (connection->failed)
		return FAILURE_COUNT;
	if (connection->opened && error && !BPF_CORE_READ(sk, sk_socket))
		return FAILURE_COUNT;
	if (error == ECONNREFUSED)
		return FAILURE_REFUSED;
	if (error == ETIMEDOUT)
		return FAILURE_TIMEOUT;
	if (error == EHOSTUNREACH || error == ENETUNREACH)
		return FAILURE_UNREACHABLE;
	if (error == ECONNRESET || error == EPIPE)
		return FAILURE_RESET;
	if (error)
		return FAILURE_ERROR;
	/* Whoever ends in order says FIN first. */
	if (before == TCP_SYN_SENT || before == TCP_ESTABLISHED || before == TCP_CLOSE_WAIT)
		return FAILURE_ABORTED;
	return FAILURE_COUNT;
}

static __always_inline void on_closed(struct sock *sk, int before)
{
	struct connection *connection = find_connection(sk);
	struct totals totals = {};
	struct flow *flow;
	__u32 failure;

	if (!connection)
		return;
	failure = failure_of(connection, sk, before);
	flow = find_flow(&connection->key);
	if (flow) {
		count_retransmits(flow, connection, sk);
		if (failure < FAILURE_COUNT)
			__sync_fetch_and_add(&flow->failed[failure], 1);
		if (connection->opened) {
			read_totals(&totals, sk);
			tell(&flow->sent, &connection->told.sent, totals.sent);
			tell(&flow->received, &connection->told.received, totals.received);
			observe_rtt(flow, sk);
		}
	}
	bpf_map_delete_elem(&connections, &sk);
}

static __always_inline void on_listening(struct sock *sk)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	remember_listener(sk, owner_of_task(task, bpf_get_current_cgroup_id()), pid);
}

static __always_inline int on_state(struct sock *sk, int before, int state, enum turn turn)
{
	if (!is_tcp_socket(sk))
		return 0;
	if (state == TCP_CLOSE)
		on_closed(sk, before);
	else if (state == TCP_SYN_SENT)
		on_connecting(sk, turn);
	else if (state == TCP_LISTEN)
		on_listening(sk);
	else if (state == TCP_ESTABLISHED && before == TCP_SYN_SENT)
		on_connected(sk);
	else if (state == TCP_ESTABLISHED && before == TCP_SYN_RECV)
		on_accepted(sk, turn);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int tcp_state(__u64 *ctx)
{
	return on_state((struct sock *)ctx[0], (int)ctx[1], (int)ctx[2], FIRST);
}

SEC("tp_btf/inet_sock_set_state")
int tcp_state_second(__u64 *ctx)
{
	return on_state((struct sock *)ctx[0], (int)ctx[1], (int)ctx[2], SECOND);
}

SEC("tp_btf/tcp_retransmit_skb")
int tcp_retransmit(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct connection *connection;
	struct flow_key key = {};
	struct flow *flow;

	if (!sk)
		return 0;
	connection = find_connection(sk);
	if (connection) {
		flow = find_flow(&connection->key);
		if (flow)
			count_retransmits(flow, connection, sk);
		return 0;
	}
	/* Of what the full table has no place for, each packet counts as one segment. */
	if (key_of_socket(&key, sk))
		return 0;
	flow = find_flow(&key);
	if (flow)
		__sync_fetch_and_add(&flow->retransmits, 1);
	return 0;
}

/* The connection is not there yet: its addresses are the request's, which begins like a socket. */
SEC("tp_btf/tcp_retransmit_synack")
int tcp_retransmit_answer(__u64 *ctx)
{
	struct sock *request = (struct sock *)ctx[1];
	struct flow_key key = {};
	struct flow *flow;

	if (!request || key_of_accepted(&key, request, (struct sock *)ctx[0]))
		return 0;
	flow = find_flow(&key);
	if (flow)
		__sync_fetch_and_add(&flow->retransmits, 1);
	return 0;
}

/* Before the kernel closes the socket. Whether a process still held it decides whether anybody lost something. */
SEC("tp_btf/tcp_receive_reset")
int tcp_reset_received(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct connection *connection;
	struct flow *flow;

	if (!sk)
		return 0;
	connection = find_connection(sk);
	if (!connection || !connection->opened || connection->failed || !BPF_CORE_READ(sk, sk_socket))
		return 0;
	connection->failed = 1;
	flow = find_flow(&connection->key);
	if (flow)
		__sync_fetch_and_add(&flow->failed[FAILURE_RESET], 1);
	return 0;
}

struct map_element {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	__u64 *key;
	struct connection *value;
};

/*
 * Tells the flows of what the open connections have moved since the last scan, and counts them. It matters not whether a scan
 * comes by a connection twice, or misses one: the hash changes under it. What seems to fall was read in the middle of a change,
 * or of another socket: a later scan, or the end, tells it.
 */
SEC("iter/bpf_map_elem")
int tcp_open(struct map_element *ctx)
{
	struct connection *connection = ctx->value;
	__u64 *key = ctx->key, moved;
	const struct tcp_scan *scan = get_scan();
	struct totals totals = {};
	struct flow_key flow_key;
	struct flow *flow;
	struct sock *sk;

	if (!key || !connection || !scan || !connection->opened)
		return 0;
	sk = (struct sock *)*key;
	/* The memory may be another socket's by now: then the connection has just been closed, and is counted. */
	if (BPF_CORE_READ(sk, __sk_common.skc_num) != connection->local_port ||
	    __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport)) != connection->remote_port ||
	    BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE) {
		__u64 gone = *key;

		/* Twice in a row: it was never seen to close. */
		if (connection->gone)
			bpf_map_delete_elem(&connections, &gone);
		else
			connection->gone = 1;
		return 0;
	}
	connection->gone = 0;
	flow_key = connection->key;
	flow = find_flow(&flow_key);
	if (!flow)
		return 0;
	if (flow->open_scan != scan->number) {
		flow->open_count = 0;
		flow->open_scan = scan->number;
	}
	flow->open_count++;
	read_totals(&totals, sk);
	if (totals.sent > connection->told.sent)
		tell(&flow->sent, &connection->told.sent, totals.sent);
	if (totals.received > connection->told.received)
		tell(&flow->received, &connection->told.received, totals.received);
	moved = totals.sent + totals.received;
	if (scan->sample && moved != connection->sampled) {
		connection->sampled = moved;
		observe_rtt(flow, sk);
	}
	return 0;
}

struct task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u64 fd;
	struct file *file;
};

/* The sockets that processes hold already: one kind in each run. */
SEC("iter/task_file")
int tcp_held(struct task_file *ctx)
{
	struct task_struct *task = ctx->task;
	const struct file *file = ctx->file;
	const struct tcp_scan *scan = get_scan();
	const struct socket *socket;
	struct sock *sk;
	__u8 state;

	if (!task || !file || !scan || (BPF_CORE_READ(file, f_inode, i_mode) & MODE_MASK) != SOCKET_MODE)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	sk = socket ? BPF_CORE_READ(socket, sk) : NULL;
	if (!sk || !is_tcp_socket(sk))
		return 0;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (scan->held == HELD_LISTENERS) {
		if (state == TCP_LISTEN)
			remember_listener(sk, owner_of_task(task, BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id)),
					  BPF_CORE_READ(task, tgid));
	} else if (state != TCP_LISTEN && state != TCP_CLOSE && state != TCP_SYN_SENT) {
		adopt(sk, owner_of_task(task, BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id)),
		      BPF_CORE_READ(task, tgid), scan->held == HELD_SERVERS ? ROLE_SERVER : ROLE_CLIENT);
	}
	return 0;
}
