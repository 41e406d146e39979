/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * TLS libraries written in C: one pair of programs for every f(ssl, buffer, length). The arguments are kept at the
 * entry; the bytes are read at the return, with the length that the call returned, so that a failed or retried call
 * counts nothing. A call may stand inside another (TLS in TLS), so a thread keeps a small stack of them; the stack
 * pointer tells whose return this is, and drops calls that never returned (longjmp, exceptions).
 */
#include "capture.bpf.h"
#include "kernel-stack.h"
#include "registers.h"
#include "tls-binding.bpf.h"
#include "tls-call.h"
#include "tls-offsets.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static const struct tls_calls no_tls_calls;

/* The first probe that fires in a thread: its process needs no report of unseen TLS. */
static __always_inline void mark_process(__u32 pid)
{
	struct tls_process *process = make_tls_process(pid);

	if (process)
		process->known = 1;
}

static __always_inline void enter_call(struct pt_regs *regs, __u64 cookie, __u64 pid_tgid)
{
	__u64 stack_pointer = entry_stack_pointer(regs, cookie);
	__u32 count_register = COOKIE_REGISTER(cookie);
	struct tls_calls *calls = bpf_map_lookup_elem(&tls_calls, &pid_tgid);
	struct tls_call *call;
	__u32 depth;

	if (!calls) {
		mark_process(pid_tgid >> 32);
		bpf_map_update_elem(&tls_calls, &pid_tgid, &no_tls_calls, BPF_ANY);
		calls = bpf_map_lookup_elem(&tls_calls, &pid_tgid);
		if (!calls) {
			count(COUNTER_LOST_MAP_FULL);
			return;
		}
	}
	depth = calls->depth;
	/* Stacks grow down: a call that still runs was entered at a higher stack pointer than this one. */
	for (__u32 i = TLS_CALL_DEPTH; i > 0; i--)
		if (depth == i && calls->calls[i - 1].stack_pointer <= stack_pointer)
			depth = i - 1;
	if (depth >= TLS_CALL_DEPTH) {
		count(COUNTER_UNPAIRED_RETURN);
		return;
	}
	call = &calls->calls[MASKED(depth, TLS_CALL_DEPTH - 1)];
	call->ssl = CALL_ARGUMENT_1(regs);
	call->buffer = CALL_ARGUMENT_2(regs);
	call->count_pointer = count_register ? register_value(regs, count_register) : CALL_ARGUMENT_4(regs);
	call->stack_pointer = stack_pointer;
	call->began_ns = (cookie & COOKIE_OPERATION) == TLS_WRITE ? bpf_ktime_get_ns() : 0;
	calls->depth = depth + 1;
}

static __always_inline int probe_entry(struct pt_regs *regs, __u64 cookie)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	const struct settings *settings = get_settings();
	__u32 operation = cookie & COOKIE_OPERATION;
	struct tls_calls *calls;
	struct tls_stream *tls;

	if (!settings || !is_traced(settings, pid_tgid >> 32))
		return 0;
	if (operation == TLS_READ || operation == TLS_WRITE) {
		enter_call(regs, cookie, pid_tgid);
		return 0;
	}
	calls = bpf_map_lookup_elem(&tls_calls, &pid_tgid);
	if (calls)
		read_nothing(&calls->records);
	tls = find_tls_stream(CALL_ARGUMENT_1(regs), pid_tgid >> 32);
	if (!tls)
		return 0;
	if (operation == TLS_SHUTDOWN) {
		emit_end(&tls->stream, EGRESS, SOURCE_TLS);
	} else {
		struct tls_key key = {.ssl = CALL_ARGUMENT_1(regs), .pid = pid_tgid >> 32};

		emit_close(&tls->stream, 0, SOURCE_TLS);
		bpf_map_delete_elem(&tls_streams, &key);
	}
	return 0;
}

/* What a call received or sent without that any of its program's bytes moved. Seldom, so not inlined. */
static __noinline void flush_ciphertext(struct tls_calls *calls, __u32 pid)
{
	if (!calls->ciphertext)
		return;
	count_tls_bytes(pid, 0, calls->ciphertext);
	calls->ciphertext = 0;
}

static __always_inline int probe_return(struct pt_regs *regs, __u64 cookie)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	const struct settings *settings = get_settings();
	__u64 stack_pointer = entry_stack_pointer(regs, cookie);
	int direction = (cookie & COOKIE_OPERATION) == TLS_WRITE ? EGRESS : INGRESS;
	int result = (int)register_value(regs, COOKIE_REGISTER(cookie));
	struct user_bytes bytes = {};
	struct endpoint endpoint = {};
	struct tls_calls *calls;
	struct tls_call call = {};
	struct tls_stream *tls;
	struct stream *stream;
	struct verdict verdict;
	__u64 length = 0, position, lead_us = 0;
	__u32 depth;

	if (!settings || !is_traced(settings, pid_tgid >> 32))
		return 0;
	calls = bpf_map_lookup_elem(&tls_calls, &pid_tgid);
	depth = calls ? calls->depth : 0;
	for (__u32 i = TLS_CALL_DEPTH; calls && i > 0; i--)
		if (depth == i && calls->calls[i - 1].stack_pointer < stack_pointer)
			depth = i - 1;
	if (!calls || depth < 1 || depth > TLS_CALL_DEPTH) {
		/* Attached between this call's entry and its return. What is left are calls that never returned. */
		if (calls)
			calls->depth = 0;
		count(COUNTER_UNPAIRED_RETURN);
		return 0;
	}
	call = calls->calls[MASKED(depth - 1, TLS_CALL_DEPTH - 1)];
	if (call.stack_pointer != stack_pointer) {
		/* The call that returns was not seen to begin, or found the stack full; the one on top still runs. */
		calls->depth = depth;
		count(COUNTER_UNPAIRED_RETURN);
		return 0;
	}
	calls->depth = depth - 1;
	/* One function of the library called another for the same object: the outer one tells of all bytes. */
	if (depth > 1 && calls->calls[MASKED(depth - 2, TLS_CALL_DEPTH - 1)].ssl == call.ssl)
		return 0;

	if (cookie & COOKIE_EX) {
		if (result == 1 && bpf_probe_read_user(&length, sizeof(length), (void *)call.count_pointer))
			count(COUNTER_LOST_READ);
	} else if (result > 0) {
		length = result;
	} else if (result == 0 && direction == INGRESS) {
		read_nothing(&calls->records);
		flush_ciphertext(calls, pid_tgid >> 32);
		tls = find_tls_stream(call.ssl, pid_tgid >> 32);
		if (tls)
			emit_end(&tls->stream, INGRESS, SOURCE_TLS);
		return 0;
	}
	if (!length || length > 0x7fffffff) {
		if (direction == INGRESS)
			read_nothing(&calls->records);
		flush_ciphertext(calls, pid_tgid >> 32);
		return 0;
	}
	tls = make_tls_stream(call.ssl, pid_tgid >> 32);
	if (!tls)
		return 0;
	stream = &tls->stream;
	if (is_excluded(stream, settings)) {
		advance(stream, direction, length);
		count(COUNTER_CHUNKS_EXCLUDED);
		return 0;
	}
	count_tls_bytes(pid_tgid >> 32, length, calls->ciphertext);
	calls->ciphertext = 0;
	renew_if_ended(tls, direction);
	look_below(tls, call.ssl, cookie);
	calls->unbound = !tls->socket;
	if (direction == EGRESS)
		wrote(&calls->records, tls, call.ssl, length);
	else
		read_records(&calls->records, tls, length);
	/* Nothing is mapped so low (vm.mmap_min_addr): what stands there is the file descriptor of SSL_sendfile(). */
	bytes.address = call.buffer < 65536 ? 0 : call.buffer;
	bytes.length = length;
	endpoint.tls = call.ssl;
	endpoint.address = tls->socket ? &tls->address : &no_tls_stream.address;
	position = advance(stream, direction, length);
	verdict = judge(stream, direction, &bytes, settings, position);
	if (!verdict.http)
		return 0;
	/* A request begins when it is handed over to be encrypted; a response ends when the call is done with it. */
	if (direction == EGRESS && stream->asks == 1 << EGRESS)
		lead_us = smaller((bpf_ktime_get_ns() - call.began_ns) / 1000, MOST_LEAD_US);
	capture(stream, direction, SOURCE_TLS, &bytes, &endpoint, position, verdict.walks, lead_us, settings);
	return 0;
}

SEC("uprobe")
int tls_entry(struct pt_regs *regs)
{
	stay_on_kernel_stack();
	return probe_entry(regs, bpf_get_attach_cookie(regs));
}

SEC("uprobe")
int tls_return(struct pt_regs *regs)
{
	stay_on_kernel_stack();
	return probe_return(regs, bpf_get_attach_cookie(regs));
}

/*
 * Below 5.15 (commit 7adfc6c9b315 brought the cookie to uprobes) a program is all that a site can tell, so there is one
 * per cookie: the name is that of the program above with the cookie behind it. Their returns are uretprobes.
 */
#define WITHOUT_COOKIE(kind, cookie)                    \
	SEC("uprobe")                                   \
	int tls_##kind##_##cookie(struct pt_regs *regs) \
	{                                               \
		return probe_##kind(regs, cookie);      \
	}

WITHOUT_COOKIE(entry, 0)
WITHOUT_COOKIE(entry, 1)
WITHOUT_COOKIE(entry, 2)
WITHOUT_COOKIE(entry, 3)
WITHOUT_COOKIE(entry, 4)
WITHOUT_COOKIE(entry, 5)
WITHOUT_COOKIE(return, 8)
WITHOUT_COOKIE(return, 9)
WITHOUT_COOKIE(return, 12)
WITHOUT_COOKIE(return, 13)
