/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whose traffic may be looked at, by cgroup: in Kubernetes a pod has one, made before its first process runs. The entry
 * of the nearest cgroup counts, from the process's own upwards. Needs cgroup v2, also beside v1: under v1 alone every
 * process is in the root.
 */
#ifndef PLAINSIGHT_SCOPE_H
#define PLAINSIGHT_SCOPE_H

#include "maps.bpf.h"

/*
 * How far up it is looked. A pod is found from whatever its containers make inside of themselves: a container is one level
 * below it, systemd in the container three more. The root of all pods is two or three levels above the pod.
 */
#define SCOPE_LEVELS 16

/*
 * The enum scope of the current process. Global and not inlined: the verifier looks at the loop once. Read from the
 * structures, as the helper that gives the ids of ancestors is not there for these programs before 5.15.
 */
__noinline int find_scope(__u32 otherwise)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct cgroup *cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);

	for (int i = 0; i < SCOPE_LEVELS; i++) {
		__u64 id = BPF_CORE_READ(cgroup, kn, id);
		__u8 *found;

		/* The root: there is no decision about all. */
		if (!BPF_CORE_READ(cgroup, self.parent))
			break;
		found = bpf_map_lookup_elem(&cgroup_scopes, &id);
		if (found)
			return *found;
		cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
	}
	return otherwise;
}

/* Only in the context of the process that the traffic belongs to. */
static __always_inline int is_out_of_scope(const struct settings *settings)
{
	return settings->scope != SCOPE_UNLIMITED && find_scope(settings->scope) == SCOPE_OUT;
}

#endif
