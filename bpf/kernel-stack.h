/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Keeps a uprobe program on the kernel stack of the task that hit it. From 6.13 on, the verifier gives programs of this type a
 * stack per CPU (commits a76ab5731e32 and 7d1cd70d4b16), trusting that no program begins on a CPU where it has not ended;
 * nothing sees to that for uprobes, and since preemption became the rule (PREEMPT_LAZY, commit 7c70cb94d29c) two tasks
 * can be in one program on one CPU: each then works with the other's pointers, in the kernel.
 *
 * Programs with a tail call get no such stack, and the verifier looks for the call before it knows that it is never
 * reached; so this one costs nothing, needs no kfunc, and means nothing to kernels before.
 */
#ifndef PLAINSIGHT_KERNEL_STACK_H
#define PLAINSIGHT_KERNEL_STACK_H

#include "kernel.h"

/* Read-only once loaded: the verifier knows its value, the compiler does not. */
const volatile __u32 never = 0;

static __always_inline void stay_on_kernel_stack(void)
{
	if (never)
		bpf_tail_call(0, 0, 0);
}

#endif
