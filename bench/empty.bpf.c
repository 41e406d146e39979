/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A probe that does nothing: what is left is the price of being there. For bench/overhead.ts. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("uprobe")
int empty(void *ctx)
{
	return 0;
}
