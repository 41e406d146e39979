/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The TLS calls of a goroutine, innermost last. A frame is known by how far it is below the top of the goroutine's stack:
 * that stays when Go copies the stack to another place, and tells an entry from a return of another call, and from calls
 * that a panic has left behind.
 */
#ifndef PLAINSIGHT_GO_CALLS_H
#define PLAINSIGHT_GO_CALLS_H

#include "emit.bpf.h"
#include "registers.h"

/* runtime.g begins with its stack's bounds (src/runtime/runtime2.go, go1.17 to go1.27). */
struct go_stack {
	__u64 lo;
	__u64 hi;
};

static __always_inline int read_go_stack(__u64 g, struct go_stack *stack)
{
	return !bpf_probe_read_user(stack, sizeof(*stack), (void *)g);
}

static __always_inline int is_on_stack(const struct go_stack *stack, __u64 address)
{
	return address >= stack->lo && address < stack->hi;
}

/*
 * The tls.Conn whose call the goroutine is inside of with this stack pointer, innermost, if that call moves bytes in this
 * direction; 0: none. Not every Write is kept, so what is sent inside of a Read may be another connection's. System calls leave
 * the register that holds the goroutine alone. Not inlined, for the stacks of its callers.
 */
__noinline __u64 current_go_conn(__u64 g, __u64 stack_pointer, __u32 pid, __u32 direction)
{
	struct go_key key = {.g = g, .pid = pid};
	struct go_calls *calls = bpf_map_lookup_elem(&go_calls, &key);
	struct go_stack stack;
	struct go_call *call;

	if (!calls || !calls->depth || calls->depth > GO_CALL_DEPTH)
		return 0;
	call = &calls->calls[MASKED(calls->depth - 1, GO_CALL_DEPTH - 1)];
	if (!read_go_stack(g, &stack) || !is_on_stack(&stack, stack_pointer))
		return 0;
	return call->direction == direction && stack.hi - stack_pointer > call->below_top ? call->conn : 0;
}

#endif
