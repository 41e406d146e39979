/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Directories of the cgroup v2 hierarchy that are made and removed: by its cgroup user space knows whose a process is that
 * has ended meanwhile, and decides about a pod before its first process runs. The kernel holds cgroup_mutex around both, so
 * neither program is ever skipped because it runs already.
 */
#include "scope.bpf.h"
#include "emit.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline int report_cgroup(__u16 kind, struct cgroup *cgroup, const char *path)
{
	struct cgroup_event *event;

	if (BPF_CORE_READ(cgroup, root, hierarchy_id))
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(COUNTER_LOST_RING);
		return 0;
	}
	fill_header(&event->header, sizeof(*event), kind, SOURCE_SOCKET, 0);
	event->cgroup_id = BPF_CORE_READ(cgroup, kn, id);
	__builtin_memset(event->path, 0, sizeof(event->path));
	bpf_probe_read_kernel_str(event->path, sizeof(event->path), path);
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int cgroup_mkdir(__u64 *ctx)
{
	return report_cgroup(EVENT_CGROUP_MADE, (struct cgroup *)ctx[0], (const char *)ctx[1]);
}

SEC("tp_btf/cgroup_rmdir")
int cgroup_rmdir(__u64 *ctx)
{
	__u64 id = BPF_CORE_READ((struct cgroup *)ctx[0], kn, id);

	bpf_map_delete_elem(&cgroup_scopes, &id);
	return report_cgroup(EVENT_CGROUP_GONE, (struct cgroup *)ctx[0], (const char *)ctx[1]);
}
