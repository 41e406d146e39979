/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Go's crypto/tls: (*Conn).Read and (*Conn).Write by Go's register convention (src/cmd/compile/abi-internal.md, amd64 from
 * Go 1.17, arm64 from 1.18). A call is kept by its goroutine, not by its thread: goroutines move between threads while
 * they wait. Returns are probed at the `ret` instructions, never by uretprobe, because Go moves stacks and would find a
 * rewritten return address on them. An entry site may be hit twice when the stack grows, before its return.
 *
 * What is written is taken at the entry. A Go client reads its response in another goroutine than the one that writes the
 * request, which may still be on its way out of Write when the response is there: at the return, one would be seen before the
 * other. A Write that fails leaves a connection that cannot be used any more, and is not repeated with the same bytes.
 */
#include "capture.bpf.h"
#include "kernel-stack.h"
#include "tls-call.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* runtime.g begins with its stack's bounds (src/runtime/runtime2.go, go1.17 to go1.27). */
struct go_stack {
	__u64 lo;
	__u64 hi;
};

static __always_inline int read_stack(__u64 g, struct go_stack *stack)
{
	return !bpf_probe_read_user(stack, sizeof(*stack), (void *)g);
}

static __always_inline void capture_go(__u64 conn, __u64 buffer, __s64 length, int direction, __u32 pid,
				       const struct settings *settings)
{
	struct user_bytes bytes = {.address = buffer, .length = length};
	struct tls_stream *tls = make_tls_stream(conn, pid);
	struct endpoint endpoint = {.tls = conn};
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
	endpoint.address = &tls->address;
	position = advance(stream, direction, length);
	if (!judge(stream, direction, &bytes, settings).http)
		return;
	if (!stream->announced && !tls->address.family)
		count(COUNTER_UNBOUND);
	capture(stream, direction, SOURCE_TLS, &bytes, &endpoint, position);
}

SEC("uprobe")
int gotls_entry(struct pt_regs *regs)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u32 operation = bpf_get_attach_cookie(regs) & COOKIE_OPERATION;
	const struct settings *settings = get_settings();
	struct go_key key = {.g = GO_G(regs), .pid = pid};
	struct go_call call = {.conn = GO_ARGUMENT_1(regs), .buffer = GO_ARGUMENT_2(regs)}, *before;
	__s64 length = GO_ARGUMENT_3(regs);
	struct go_stack stack;
	__u8 one = 1;

	stay_on_kernel_stack();
	if (!settings || !is_traced(settings, pid))
		return 0;
	if (operation == TLS_FREE) {
		struct tls_key tls_key = {.ssl = call.conn, .pid = pid};
		struct tls_stream *tls = bpf_map_lookup_elem(&tls_streams, &tls_key);

		if (tls) {
			emit_close(&tls->stream, 0, SOURCE_TLS);
			bpf_map_delete_elem(&tls_streams, &tls_key);
		}
		return 0;
	}
	/* A buffer on the goroutine's own stack moves with it: what stays is its distance from the top. */
	if (read_stack(key.g, &stack) && call.buffer >= stack.lo && call.buffer < stack.hi) {
		call.buffer = stack.hi - call.buffer;
		call.on_stack = 1;
	}
	before = bpf_map_lookup_elem(&go_calls, &key);
	if (before && before->conn == call.conn && before->buffer == call.buffer)
		return 0; /* the stack has grown, and the call begins again */
	if (!bpf_map_lookup_elem(&tls_processes, &pid))
		bpf_map_update_elem(&tls_processes, &pid, &one, BPF_ANY);
	if (bpf_map_update_elem(&go_calls, &key, &call, BPF_ANY))
		count(COUNTER_LOST_MAP_FULL);
	else if (operation == TLS_WRITE && length > 0 && length <= 0x7fffffff)
		capture_go(call.conn, GO_ARGUMENT_2(regs), length, EGRESS, pid, settings);
	return 0;
}

SEC("uprobe")
int gotls_return(struct pt_regs *regs)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u32 operation = bpf_get_attach_cookie(regs) & COOKIE_OPERATION;
	const struct settings *settings = get_settings();
	struct go_key key = {.g = GO_G(regs), .pid = pid};
	__s64 length = GO_RESULT_1(regs);
	struct go_call *found, call;

	stay_on_kernel_stack();
	if (!settings || !is_traced(settings, pid))
		return 0;
	found = bpf_map_lookup_elem(&go_calls, &key);
	if (!found) {
		count(COUNTER_UNPAIRED_RETURN);
		return 0;
	}
	call = *found;
	bpf_map_delete_elem(&go_calls, &key);
	/* A Read that ends with an error may have delivered bytes before it. */
	if (operation == TLS_WRITE || length <= 0 || length > 0x7fffffff)
		return 0;
	if (call.on_stack) {
		struct go_stack stack;

		if (!read_stack(key.g, &stack)) {
			count(COUNTER_LOST_READ);
			return 0;
		}
		call.buffer = stack.hi - call.buffer;
	}
	capture_go(call.conn, call.buffer, length, INGRESS, pid, settings);
	return 0;
}
