/*
 * The uprobe_multi link of Linux 6.6, for libbpf and kernel headers older than it: the numbers and the system call are
 * made here. Nothing else of the addon knows bpf()'s layout.
 */
#ifndef PLAINSIGHT_UPROBE_MULTI_H
#define PLAINSIGHT_UPROBE_MULTI_H

#include <linux/bpf.h>
#include <cstddef>
#include <cstdint>

namespace plainsight
{

/*
 * include/uapi/linux/bpf.h of v6.6, commit 89ae89f53d20 ("bpf: Add multi uprobe link"). The names differ from the
 * kernel's, which newer headers define.
 */
constexpr bpf_attach_type ATTACH_UPROBE_MULTI = static_cast<bpf_attach_type>(48);

/*
 * One link for `count` sites of the file at `path`, for every process. `program` was loaded with ATTACH_UPROBE_MULTI.
 * Returns the descriptor of the link, or -errno.
 */
int create_uprobe_multi_link(int program, const char *path, const uint64_t *offsets, const uint64_t *cookies,
			     uint32_t count, bool return_probe);

} // namespace plainsight

#endif
