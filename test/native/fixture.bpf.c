// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Programs and maps that the tests of the addon load. Each does one thing that a test can see from outside. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define MAX_BYTES 1024

/* Another type makes a map of another shape. */
#ifndef CALLS_VALUE
#define CALLS_VALUE __u64
#endif

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, CALLS_VALUE);
} fx_calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, __u64);
} fx_returns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} fx_percpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[MAX_BYTES]);
} fx_scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} fx_ring SEC(".maps");

static void count(void *map, __u64 key, __u64 amount)
{
	__u64 *value = bpf_map_lookup_elem(map, &key);
	__u64 first = amount;

	if (value)
		__sync_fetch_and_add(value, amount);
	else
		bpf_map_update_elem(map, &key, &first, BPF_ANY);
}

/* Calls by cookie. */
SEC("uprobe")
int fx_on_call(struct pt_regs *ctx)
{
	count(&fx_calls, bpf_get_attach_cookie(ctx), 1);
	return 0;
}

/* The sum of the returned values by cookie. */
SEC("uretprobe")
int fx_on_return(struct pt_regs *ctx)
{
	count(&fx_returns, bpf_get_attach_cookie(ctx), PT_REGS_RC(ctx));
	return 0;
}

/* probed_bytes(address, length): the bytes as one record. */
SEC("uprobe")
int fx_on_bytes(struct pt_regs *ctx)
{
	__u32 zero = 0;
	__u64 length = PT_REGS_PARM2(ctx);
	__u8 *bytes = bpf_map_lookup_elem(&fx_scratch, &zero);

	/* In assembly: the compiler would prove the mask needless and leave the verifier without it. */
	asm volatile("%0 &= 1023" : "+r"(length));
	if (!bytes || length == 0)
		return 0;
	if (bpf_probe_read_user(bytes, length, (void *)PT_REGS_PARM1(ctx)))
		return 0;
	bpf_ringbuf_output(&fx_ring, bytes, length, BPF_RB_NO_WAKEUP);
	return 0;
}

/* A record that is given back, and one that is not. */
SEC("uprobe")
int fx_on_discard(struct pt_regs *ctx)
{
	__u32 *record = bpf_ringbuf_reserve(&fx_ring, 40, 0);

	if (!record)
		return 0;
	record[0] = 40;
	bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
	return 0;
}

/* A record of 128 KiB. */
SEC("uprobe")
int fx_on_huge(struct pt_regs *ctx)
{
	__u32 *record = bpf_ringbuf_reserve(&fx_ring, 128 * 1024, 0);

	if (!record)
		return 0;
	record[0] = 128 * 1024;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int fx_on_exec(void *ctx)
{
	count(&fx_calls, 1001, 1);
	return 0;
}

SEC("raw_tp/sched_process_exec")
int fx_on_raw(void *ctx)
{
	count(&fx_calls, 1002, 1);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_sethostname")
int fx_on_syscall(void *ctx)
{
	count(&fx_calls, 1003, 1);
	return 0;
}

/* Read from an address that the verifier knows nothing of. */
SEC("uprobe")
int fx_refused(struct pt_regs *ctx)
{
	return *(volatile __u32 *)PT_REGS_PARM1(ctx);
}
