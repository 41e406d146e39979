#include "kernel-types.h"

#include <bpf/btf.h>

#include <mutex>

extern "C" {
btf *__real_btf__load_vmlinux_btf();
void __real_btf__free(btf *types);
btf *__wrap_btf__load_vmlinux_btf();
void __wrap_btf__free(btf *types);
}

namespace
{

/* Of a process, whose workers share libbpf. */
std::mutex mutex;
btf *kept;

} // namespace

/* nullptr with errno set, as libbpf has it. Whoever asked frees them, which does nothing. */
btf *__wrap_btf__load_vmlinux_btf()
{
	std::lock_guard<std::mutex> lock(mutex);
	if (kept == nullptr)
		kept = __real_btf__load_vmlinux_btf();
	return kept;
}

void __wrap_btf__free(btf *types)
{
	std::lock_guard<std::mutex> lock(mutex);
	if (types != kept)
		__real_btf__free(types);
}

namespace plainsight
{

void forget_kernel_types()
{
	std::lock_guard<std::mutex> lock(mutex);
	__real_btf__free(kept);
	kept = nullptr;
}

} // namespace plainsight
