/* BPF_LINK_CREATE for uprobe_multi links; uprobe-multi.h says why. */
#include "uprobe-multi.h"

#include <sys/syscall.h>
#include <unistd.h>
#include <cerrno>

namespace plainsight
{

namespace
{

/* link_create.uprobe_multi.flags, commit 89ae89f53d20 */
constexpr uint32_t UPROBE_MULTI_RETURN = 1U << 0;

/*
 * The part of union bpf_attr that BPF_LINK_CREATE reads: link_create of v6.6. Its members came with commits 89ae89f53d20
 * (the link), 0b779b61f651 (cookies) and b733eeade420 (pid). The kernel wants zeros behind what it knows.
 */
struct LinkCreate {
	uint32_t program;
	uint32_t target;
	uint32_t attach_type;
	uint32_t flags;
	uint64_t path;
	uint64_t offsets;
	uint64_t ref_ctr_offsets;
	uint64_t cookies;
	uint32_t count;
	uint32_t multi_flags;
	uint32_t pid;
	uint32_t reserved;
};
static_assert(offsetof(LinkCreate, path) == 16 && offsetof(LinkCreate, count) == 48 && sizeof(LinkCreate) == 64);
static_assert(sizeof(LinkCreate) <= sizeof(bpf_attr));

uint64_t address(const void *pointer)
{
	return static_cast<uint64_t>(reinterpret_cast<uintptr_t>(pointer));
}

} // namespace

int create_uprobe_multi_link(int program, const char *path, const uint64_t *offsets, const uint64_t *cookies,
			     uint32_t count, bool return_probe)
{
	LinkCreate attributes = {};
	attributes.program = static_cast<uint32_t>(program);
	attributes.attach_type = ATTACH_UPROBE_MULTI;
	// SAFETY: the kernel copies from these during the call only.
	attributes.path = address(path);
	attributes.offsets = address(offsets);
	attributes.cookies = address(cookies);
	attributes.count = count;
	attributes.multi_flags = return_probe ? UPROBE_MULTI_RETURN : 0;
	long fd = syscall(__NR_bpf, BPF_LINK_CREATE, &attributes, sizeof(attributes));
	return fd < 0 ? -errno : static_cast<int>(fd);
}

} // namespace plainsight
