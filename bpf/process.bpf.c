/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Processes that begin and end, so that user space looks for TLS libraries in the one and forgets the other. */
#include "capture.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline int on_exec(struct task_struct *task)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct tls_process *process = bpf_map_lookup_elem(&tls_processes, &pid);

	if (process)
		process->known = 0;
	emit_process(EVENT_EXEC, pid, task);
	return 0;
}

static __always_inline int on_last_exit(struct task_struct *task)
{
	__u32 pid = BPF_CORE_READ(task, tgid);

	/* do_exit() has counted this thread out already (kernel/exit.c at v5.8): zero means that it was the last. */
	if (BPF_CORE_READ(task, signal, live.counter) || BPF_CORE_READ(task, flags) & KTHREAD)
		return 0;
	emit_process(EVENT_EXIT, pid, task);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int process_exec(__u64 *ctx)
{
	return on_exec((struct task_struct *)ctx[0]);
}

SEC("tp_btf/sched_process_exit")
int process_exit(__u64 *ctx)
{
	return on_last_exit((struct task_struct *)ctx[0]);
}

/* Where the kernel can skip the first (enum turn of socket-io.bpf.h says when). To hear of a process twice harms nothing. */
SEC("tp_btf/sched_process_exec")
int process_exec_second(__u64 *ctx)
{
	return on_exec((struct task_struct *)ctx[0]);
}

SEC("tp_btf/sched_process_exit")
int process_exit_second(__u64 *ctx)
{
	return on_last_exit((struct task_struct *)ctx[0]);
}
