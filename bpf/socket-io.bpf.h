/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What both socket front ends share: from the registers of the running system call to the user's bytes, and from a
 * socket operation to capture(). TCP only.
 */
#ifndef PLAINSIGHT_SOCKET_IO_H
#define PLAINSIGHT_SOCKET_IO_H

/* Sockets are written from, and read into, lists of buffers too. */
#define CAPTURES_SEGMENTS
#include "capture.bpf.h"
#include "go-calls.bpf.h"
#include "registers.h"
#include "sock.h"
#include "tls-binding.bpf.h"

/* What a system call takes (UIO_MAXIOV). */
#define MOST_SEGMENTS 1024

/*
 * The user's registers of the running system call; NULL where they are not a 64-bit program's. Read in place: a copy
 * would take a third of the stack.
 */
static __always_inline const struct pt_regs *current_registers(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct pt_regs *regs;

	if (task->flags & KTHREAD)
		return NULL;
	regs = (const void *)bpf_task_pt_regs(task);
	return IS_COMPAT(regs) ? NULL : regs;
}

/* Where the bytes lie that this system call moved. address stays 0 where they are not the caller's memory. */
static __always_inline void find_bytes(const struct pt_regs *regs, struct user_bytes *bytes)
{
	__u64 number = SYSCALL_NUMBER(regs), flags = 0;

	if (number == SYSCALL_RECVFROM)
		flags = SYSCALL_ARGUMENT_4(regs);
	else if (number == SYSCALL_RECVMSG)
		flags = SYSCALL_ARGUMENT_3(regs);
	if (flags & DISCARD_FLAG)
		return;
	if (number == SYSCALL_READ || number == SYSCALL_WRITE || number == SYSCALL_SENDTO ||
	    number == SYSCALL_RECVFROM) {
		bytes->address = SYSCALL_ARGUMENT_2(regs);
	} else if (number == SYSCALL_READV || number == SYSCALL_WRITEV) {
		bytes->address = SYSCALL_ARGUMENT_2(regs);
		bytes->segments = SYSCALL_ARGUMENT_3(regs);
	} else if (number == SYSCALL_SENDMSG || number == SYSCALL_RECVMSG) {
		struct user_iovec iov = {};
		__u64 message = SYSCALL_ARGUMENT_2(regs);

		if (bpf_probe_read_user(&iov, sizeof(iov), (void *)(message + USER_MSGHDR_IOV)))
			return;
		bytes->address = iov.base;
		bytes->segments = iov.length;
	}
	if (!bytes->segments)
		return;
	if (bytes->segments == 1) {
		struct user_iovec iov = {};

		bpf_probe_read_user(&iov, sizeof(iov), (void *)bytes->address);
		bytes->address = iov.base;
		bytes->segments = 0;
	} else if (bytes->segments > MOST_SEGMENTS) {
		bytes->segments = MOST_SEGMENTS;
	}
}

/*
 * Where a chunk of `moved` bytes begins. TCP's own count tells, not ours: an operation that no program saw (io_uring
 * behind the system calls, a program that the kernel skipped because it ran already on that CPU) then shows as a gap. Two
 * threads that write at once can see each other's bytes counted; what then would go backwards is put behind what was before.
 */
static __always_inline __u64 advance_socket(struct stream *stream, int direction, __u32 moved, const struct sock *sk)
{
	struct half *half = &stream->half[direction & 1];
	__u32 end = end_of(sk, direction);
	__u32 hidden = end - half->sequence - moved;
	__u64 position = half->position;

	/* The peer's FIN takes a number too, once it is read. */
	if (hidden == 1 && direction == INGRESS && SOCK_FIELD(sk, __sk_common.skc_state) != TCP_ESTABLISHED)
		hidden = 0;
	if (position && hidden < 1U << 31)
		position += hidden;
	half->sequence = end;
	half->position = position + moved;
	return position;
}

/*
 * The SSL object, or tls.Conn, of the TLS call that this socket operation is made by; 0: none. It is the innermost call of
 * the thread, or of the goroutine, if the system call is made deeper in the same stack.
 */
static __always_inline __u64 current_tls_call(const struct pt_regs *regs, struct tls_calls *calls, __u64 pid_tgid,
					      int direction)
{
	struct tls_call *call;

	if (calls && calls->depth && calls->depth <= TLS_CALL_DEPTH) {
		call = &calls->calls[MASKED(calls->depth - 1, TLS_CALL_DEPTH - 1)];
		return STACK_POINTER(regs) < call->stack_pointer ? call->ssl : 0;
	}
	return current_go_conn(GO_G(regs), STACK_POINTER(regs), pid_tgid >> 32, direction);
}

/*
 * Binds an SSL object to the socket that moves its records. The proof: a TLS record moves in a system call that its TLS call
 * made. Another socket later on withdraws the address: unknown rather than wrong. Returns the object if the two are bound.
 */
static __always_inline __u64 bind_tls(__u64 ssl, const struct sock *sk, int direction, __u32 pid)
{
	struct tls_stream *tls = make_tls_stream(ssl, pid);

	if (!tls)
		return 0;
	renew_if_ended(tls, direction);
	if (tls->socket == (__u64)sk)
		return ssl;
	if (!tls->socket) {
		fill_address(&tls->address, sk);
		tls->socket = (__u64)sk;
		count(COUNTER_BOUND_NESTED);
		emit_bound(tls);
		return ssl;
	}
	if (!tls->refused) {
		withdraw(tls);
		count(COUNTER_NESTED_CONFLICT);
	}
	return 0;
}

/*
 * The short way: this operation is made by a TLS call of the very object that this socket was found to be bound to. What it
 * moves is records (or is sealed by the kernel), and there is nothing to look for. It is not asked again whether the two are
 * bound until an object of this thread turns out not to be: it was freed, or had to leave its map. Not inlined, for the
 * stack's sake.
 */
static __noinline int carries_records(const struct stream *stream, __u64 stack_pointer, __u64 pid_tgid, __u32 moved)
{
	struct tls_calls *calls;
	struct tls_call *call;

	if (!stream->carries)
		return 0;
	calls = bpf_map_lookup_elem(&tls_calls, &pid_tgid);
	if (!calls || calls->unbound || !calls->depth || calls->depth > TLS_CALL_DEPTH)
		return 0;
	call = &calls->calls[MASKED(calls->depth - 1, TLS_CALL_DEPTH - 1)];
	if (call->ssl != stream->carries || stack_pointer >= call->stack_pointer)
		return 0;
	calls->ciphertext += moved;
	count(COUNTER_CHUNKS_TLS);
	return 1;
}

/* Counts what moved, and reports the process if nothing is known of its TLS. */
static __always_inline void on_ciphertext(__u32 pid, __u32 moved, int unseen)
{
	struct tls_process *process = make_tls_process(pid);

	if (!process)
		return;
	__sync_fetch_and_add(&process->ciphertext, moved);
	if (!unseen || process->known)
		return;
	process->known = 1;
	emit_process(EVENT_TLS_SEEN, pid, (void *)bpf_get_current_task());
}

/*
 * From 7.0 on, tracepoints leave preemption on (commit a46023d5616e), and the kernel skips a program that another task has begun
 * on the same CPU and has not ended, for as long as that task waits. So there each front end has a SECOND program behind
 * the FIRST, which does what the first one was not let to do; user space loads it on those kernels only.
 */
enum turn {
	FIRST,
	SECOND,
};

/* Has the first program seen this operation? Then it has put the stream's end where TCP's is. */
static __always_inline int is_done(const struct stream *stream, const struct sock *sk, int direction)
{
	return stream->half[direction & 1].sequence == end_of(sk, direction);
}

/* `moved` bytes, 0 for the end of the direction, were received or sent. */
static __always_inline void on_socket_io(struct stream *stream, const struct sock *sk, int direction, int moved,
					 const struct pt_regs *regs, const struct settings *settings, __u16 source,
					 enum turn turn)
{
	struct user_bytes bytes = {};
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct address address = {};
	struct endpoint endpoint = {.address = &address};
	struct tls_calls *calls;
	struct verdict verdict;
	__u64 position, ssl;

	if (turn == SECOND && moved && is_done(stream, sk, direction))
		return;
	if (is_excluded(stream, settings)) {
		if (turn == FIRST)
			count(COUNTER_CHUNKS_EXCLUDED);
		return;
	}
	if (moved == 0) {
		/* So returns a receive without room too; before the peer's FIN, that is all it can be. */
		if (direction == INGRESS && SOCK_FIELD(sk, __sk_common.skc_state) != TCP_ESTABLISHED)
			emit_end(stream, INGRESS, source);
		return;
	}
	position = advance_socket(stream, direction, moved, sk);
	if (carries_records(stream, STACK_POINTER(regs), pid_tgid, moved))
		return;
	if (source == SOURCE_SYSCALL || IS_IN_SYSCALL(regs))
		find_bytes(regs, &bytes);
	bytes.length = moved;
	verdict = judge(stream, direction, &bytes, settings, position);
	stream->secure |= verdict.tls;
	if (stream->secure && !verdict.tls && !verdict.http)
		on_ciphertext(pid_tgid >> 32, moved, 0);
	if (!verdict.tls && !verdict.http)
		return;
	calls = bpf_map_lookup_elem(&tls_calls, &pid_tgid);
	ssl = current_tls_call(regs, calls, pid_tgid, direction);
	if (verdict.tls) {
		on_ciphertext(pid_tgid >> 32, moved, !ssl);
		if (ssl)
			stream->carries = bind_tls(ssl, sk, direction, pid_tgid >> 32);
		else if (calls && direction == EGRESS)
			sent_records(&calls->records, stream, sk, &bytes, pid_tgid >> 32);
		else if (calls)
			received_records(&calls->records, stream, sk, &bytes);
	}
	if (!verdict.http)
		return;
	if (ssl) {
		/* Plaintext that a TLS call moves (kernel TLS): it is counted there. */
		count(COUNTER_CHUNKS_INSIDE_TLS);
		return;
	}
	if (!stream->announced)
		fill_address(&address, sk);
	capture(stream, direction, source, &bytes, &endpoint, position, verdict.walks, 0, settings);
}

/* The socket leaves a state in which it could send: an orderly end of what we send, or the end of everything. */
static __always_inline void on_socket_state(struct stream *stream, int from, int to, __u16 source)
{
	if (to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK)
		emit_end(stream, EGRESS, source);
	else if (to == TCP_CLOSE)
		emit_close(stream, from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT, source);
}

#endif
