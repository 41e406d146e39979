/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Go's crypto/tls: (*Conn).Read and (*Conn).Write by Go's register convention (src/cmd/compile/abi-internal.md, amd64 from
 * Go 1.17, arm64 from 1.18). A call is kept by its goroutine, not by its thread: goroutines move between threads while
 * they wait. Returns are probed at the `ret` instructions, never by uretprobe, because Go moves stacks and would find a
 * rewritten return address on them.
 *
 * What is written is taken at the entry. A Go client reads its response in another goroutine than the one that writes the
 * request, which may still be on its way out of Write when the response is there: at the return, one would be seen before the
 * other. A Write that fails leaves a connection that cannot be used any more, and is not repeated with the same bytes. So
 * its return is of no use, and not probed, except where the entry site is hit again when the stack grows: there the call is
 * kept until it returns, which tells a call that begins again from the next one.
 *
 * The socket is found by the fields of Go's structures, before the connection is announced, and only where the table of
 * methods says that they are those of a TCP connection. What a call does to a socket is the second proof (socket-io.bpf.h).
 */
#include "capture.bpf.h"
#include "go-call.h"
#include "go-calls.bpf.h"
#include "kernel-stack.h"
#include "sock.h"
#include "tls-binding.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static const struct go_calls no_go_calls;

static __always_inline __u64 read_word(__u64 address)
{
	__u64 word = 0;

	bpf_probe_read_user(&word, sizeof(word), (void *)address);
	return word;
}

/* The descriptor below a tls.Conn, -1 where that is no TCP connection of package net. `site`: where the probe sits. */
static __always_inline __s64 find_descriptor(__u64 conn, __u64 site, __u64 cookie)
{
	__u64 inside = conn + GO_CONN_FIELD(cookie), table, fd;

	if (!(cookie & GO_COOKIE_LAYOUT))
		return -1;
	table = read_word(inside);
	if (read_word(table + GO_READ_FIELD(cookie)) != site + GO_TCP_READ_DISTANCE(cookie))
		return -1;
	fd = read_word(read_word(inside + sizeof(table)) + GO_FD_FIELD(cookie));
	return fd ? (__s64)read_word(fd + GO_SYSFD_FIELD(cookie)) : -1;
}

/* The struct sock, 0 where it is not certain. Not inlined, for the stack. Reads that fail give zeros, which lead nowhere. */
__noinline __u64 socket_below_go(__u64 conn, __u64 site, __u64 cookie)
{
	__s64 fd = find_descriptor(conn, site, cookie);
	const struct sock *sk;

	/* No program has its first TCP connection at 0. */
	if (fd <= 0 || fd > 0x7fffffff)
		return 0;
	sk = find_socket(fd);
	return sk && is_tcp(sk) ? (__u64)sk : 0;
}

static __always_inline void capture_go(struct pt_regs *regs, __u64 conn, __u64 buffer, __s64 length, int direction,
				       const struct settings *settings)
{
	struct user_bytes bytes = {.address = buffer, .length = length};
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct tls_stream *tls = make_tls_stream(conn, pid);
	struct endpoint endpoint = {.tls = conn};
	struct verdict verdict;
	struct stream *stream;
	__u64 position;

	if (!tls)
		return;
	stream = &tls->stream;
	if (is_excluded(stream, settings)) {
		advance(stream, direction, length);
		count(COUNTER_CHUNKS_EXCLUDED);
		return;
	}
	count_tls_bytes(pid, length, 0);
	position = advance(stream, direction, length);
	verdict = judge(stream, direction, &bytes, settings, position);
	if (!verdict.http)
		return;
	if (!tls->looked_below) {
		__u64 sk = socket_below_go(conn, INSTRUCTION_POINTER(regs), bpf_get_attach_cookie(regs));

		tls->looked_below = 1;
		if (sk)
			bind_below(tls, sk);
	}
	endpoint.address = tls->socket ? &tls->address : &no_tls_stream.address;
	capture(stream, direction, SOURCE_TLS, &bytes, &endpoint, position, verdict.walks, 0, settings);
}

/* Keeps the call that begins. Is there a place for it, and is it not one that began before? */
static __always_inline int enter_go_call(const struct go_key *key, const struct go_call *call, int repeats)
{
	struct go_calls *calls = bpf_map_lookup_elem(&go_calls, key);
	__u32 depth;

	if (!calls) {
		bpf_map_update_elem(&go_calls, key, &no_go_calls, BPF_ANY);
		calls = bpf_map_lookup_elem(&go_calls, key);
		if (!calls) {
			count(COUNTER_LOST_MAP_FULL);
			return 0;
		}
	}
	depth = calls->depth;
	for (__u32 i = GO_CALL_DEPTH; i > 0; i--) {
		const struct go_call *top = &calls->calls[i - 1];

		if (depth != i || top->below_top < call->below_top)
			continue;
		if (repeats && top->below_top == call->below_top && top->conn == call->conn &&
		    top->buffer == call->buffer)
			return 0; /* the stack has grown, and the call begins again */
		depth = i - 1;    /* it never returned, nor did those inside of it */
	}
	if (depth >= GO_CALL_DEPTH) {
		count(COUNTER_UNPAIRED_RETURN);
		return 0;
	}
	calls->calls[MASKED(depth, GO_CALL_DEPTH - 1)] = *call;
	calls->depth = depth + 1;
	return 1;
}

static __always_inline void close_go_conn(__u64 conn, __u32 pid)
{
	struct tls_key key = {.ssl = conn, .pid = pid};
	struct tls_stream *tls = bpf_map_lookup_elem(&tls_streams, &key);

	if (!tls)
		return;
	emit_close(&tls->stream, 0, SOURCE_TLS);
	bpf_map_delete_elem(&tls_streams, &key);
}

SEC("uprobe")
int gotls_entry(struct pt_regs *regs)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u64 cookie = bpf_get_attach_cookie(regs), conn = GO_ARGUMENT_1(regs), buffer = GO_ARGUMENT_2(regs);
	const struct settings *settings = get_settings();
	struct go_key key = {.g = GO_G(regs), .pid = pid};
	__s64 length = GO_ARGUMENT_3(regs);
	int writes = (cookie & COOKIE_OPERATION) == TLS_WRITE, repeats = !!(cookie & GO_COOKIE_REPEATS);
	struct go_call call = {.conn = conn, .direction = writes ? EGRESS : INGRESS};
	struct tls_process *process;
	struct go_stack stack;

	stay_on_kernel_stack();
	if (!settings || !is_traced(settings, pid))
		return 0;
	if ((cookie & COOKIE_OPERATION) == TLS_FREE) {
		close_go_conn(conn, pid);
		return 0;
	}
	process = make_tls_process(pid);
	if (process)
		process->known = 1;
	if (!writes || repeats) {
		if (!read_go_stack(key.g, &stack) || !is_on_stack(&stack, STACK_POINTER(regs))) {
			count(COUNTER_LOST_READ);
			return 0;
		}
		call.below_top = stack.hi - STACK_POINTER(regs);
		/* A buffer on the goroutine's own stack moves with it. */
		call.on_stack = is_on_stack(&stack, buffer);
		call.buffer = call.on_stack ? stack.hi - buffer : buffer;
		if (!enter_go_call(&key, &call, repeats))
			return 0;
	}
	if (writes && length > 0 && length <= 0x7fffffff)
		capture_go(regs, conn, buffer, length, EGRESS, settings);
	return 0;
}

SEC("uprobe")
int gotls_return(struct pt_regs *regs)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	const struct settings *settings = get_settings();
	struct go_key key = {.g = GO_G(regs), .pid = pid};
	__s64 length = GO_RESULT_1(regs);
	struct go_call call = {};
	struct go_calls *calls;
	struct go_stack stack;
	__u64 below_top;
	__u32 depth;

	stay_on_kernel_stack();
	if (!settings || !is_traced(settings, pid))
		return 0;
	calls = bpf_map_lookup_elem(&go_calls, &key);
	if (!calls || !read_go_stack(key.g, &stack)) {
		count(COUNTER_UNPAIRED_RETURN);
		return 0;
	}
	below_top = stack.hi - STACK_POINTER(regs);
	depth = calls->depth;
	/* Calls inside of this one that never returned. */
	for (__u32 i = GO_CALL_DEPTH; i > 0; i--)
		if (depth == i && calls->calls[i - 1].below_top > below_top)
			depth = i - 1;
	if (depth >= 1 && depth <= GO_CALL_DEPTH)
		call = calls->calls[MASKED(depth - 1, GO_CALL_DEPTH - 1)];
	if (call.below_top != below_top) {
		/* Attached between this call's entry and its return. */
		calls->depth = depth;
		count(COUNTER_UNPAIRED_RETURN);
		return 0;
	}
	if (depth > 1)
		calls->depth = depth - 1;
	else
		bpf_map_delete_elem(&go_calls, &key);
	/* A Read that ends with an error may have delivered bytes before it. */
	if ((bpf_get_attach_cookie(regs) & COOKIE_OPERATION) == TLS_WRITE || length <= 0 || length > 0x7fffffff)
		return 0;
	if (call.on_stack)
		call.buffer = stack.hi - call.buffer;
	capture_go(regs, call.conn, call.buffer, length, INGRESS, settings);
	return 0;
}
