/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Keeps the CPU while a tracepoint program runs. From 7.0 on, tracepoints leave preemption on (commit a46023d5616e), and the
 * kernel skips a program that another task has begun on the same CPU and has not ended. With preemption off, only the few
 * instructions before unpreempted() are left for that; what is skipped there is counted by the kernel (stage `missed`).
 *
 * For programs that are loaded from 6.3 on only: a kernel below 5.16 refuses even an unused call of a kfunc it lacks.
 */
#ifndef PLAINSIGHT_UNPREEMPTED_H
#define PLAINSIGHT_UNPREEMPTED_H

#include "kernel.h"

#define KERNEL_WITH_PREEMPTIBLE_TRACEPOINTS (7 << 16)

extern int LINUX_KERNEL_VERSION __kconfig;
extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

/* The verifier knows the version: on older kernels nothing of this is left. */
static __always_inline int preemptible(void)
{
	/* Read each time, or the compiler would make a program of its own for each answer. */
	return *(const volatile int *)&LINUX_KERNEL_VERSION >= KERNEL_WITH_PREEMPTIBLE_TRACEPOINTS;
}

#define UNPREEMPTED(statement)                 \
	do {                                   \
		if (preemptible())             \
			bpf_preempt_disable(); \
		statement;                     \
		if (preemptible())             \
			bpf_preempt_enable();  \
	} while (0)

#endif
