/* Tries kernel features. Each try returns 0 or a positive errno. */
#include "features.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <vector>

#include "arguments.h"
#include "errors.h"
#include "log.h"
#include "unique-fd.h"
#include "uprobe-multi.h"

namespace plainsight
{

namespace
{

constexpr const char *PROGRAM_NAME = "plainsight_try";
/* The helpers that are tried may be called by GPL-compatible programs only. */
constexpr const char *PROGRAM_LICENSE = "GPL";

using Program = std::vector<bpf_insn>;

struct BtfDeleter {
	void operator()(btf *types) const { btf__free(types); }
};
using BtfPointer = std::unique_ptr<btf, BtfDeleter>;

bpf_insn instruction(int code, unsigned destination, unsigned source, int offset, int immediate)
{
	bpf_insn made = {};
	made.code = static_cast<uint8_t>(code);
	made.dst_reg = destination & 0xf;
	made.src_reg = source & 0xf;
	made.off = static_cast<int16_t>(offset);
	made.imm = immediate;
	return made;
}

bpf_insn set(unsigned destination, int immediate)
{
	return instruction(BPF_ALU64 | BPF_MOV | BPF_K, destination, 0, 0, immediate);
}

bpf_insn copy(unsigned destination, unsigned source)
{
	return instruction(BPF_ALU64 | BPF_MOV | BPF_X, destination, source, 0, 0);
}

bpf_insn load_u64(unsigned destination, unsigned source, int offset)
{
	return instruction(BPF_LDX | BPF_MEM | BPF_DW, destination, source, offset, 0);
}

bpf_insn call(bpf_func_id helper)
{
	return instruction(BPF_JMP | BPF_CALL, 0, 0, 0, helper);
}

void append_map(Program &program, unsigned destination, int map)
{
	program.push_back(instruction(BPF_LD | BPF_DW | BPF_IMM, destination, BPF_PSEUDO_MAP_FD, 0, map));
	program.push_back(instruction(0, 0, 0, 0, 0));
}

void append_return(Program &program)
{
	program.push_back(set(BPF_REG_0, 0));
	program.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

/* The descriptor, or -errno. libbpf raises RLIMIT_MEMLOCK where the kernel still counts by it. */
int load(bpf_prog_type type, Program program, int attach_type = 0, int btf_id = 0)
{
	append_return(program);
	bpf_prog_load_opts opts = {};
	opts.sz = sizeof(opts);
	opts.expected_attach_type = static_cast<bpf_attach_type>(attach_type);
	opts.attach_btf_id = static_cast<uint32_t>(btf_id);
	return bpf_prog_load(type, PROGRAM_NAME, PROGRAM_LICENSE, program.data(), program.size(), &opts);
}

int load_and_close(bpf_prog_type type, const Program &program)
{
	UniqueFd loaded(load(type, program));
	return loaded ? 0 : -loaded.get();
}

/* The BTF of the running kernel; nullptr with errno set. */
BtfPointer kernel_btf()
{
	return BtfPointer(btf__load_vmlinux_btf());
}

int try_bpf()
{
	// Of a type that unprivileged users may never load, whatever kernel.unprivileged_bpf_disabled says.
	return load_and_close(BPF_PROG_TYPE_TRACEPOINT, {});
}

int try_btf()
{
	return kernel_btf() ? 0 : errno;
}

int try_ring_buffer()
{
	uint32_t page = static_cast<uint32_t>(sysconf(_SC_PAGESIZE));
	UniqueFd map(bpf_map_create(BPF_MAP_TYPE_RINGBUF, PROGRAM_NAME, 0, 0, page, nullptr));
	return map ? 0 : -map.get();
}

int try_tracepoint_program(const char *btf_type, Program program)
{
	BtfPointer types = kernel_btf();
	if (types == nullptr)
		return errno;
	int id = btf__find_by_name_kind(types.get(), btf_type, BTF_KIND_TYPEDEF);
	if (id < 0)
		return -id;
	UniqueFd loaded(load(BPF_PROG_TYPE_TRACING, std::move(program), BPF_TRACE_RAW_TP, id));
	if (!loaded)
		return -loaded.get();
	UniqueFd attached(bpf_raw_tracepoint_open(nullptr, loaded.get()));
	return attached ? 0 : -attached.get();
}

int try_sock_length_tracepoints()
{
	int error = try_tracepoint_program("btf_trace_sock_send_length", {});
	return error != 0 ? error : try_tracepoint_program("btf_trace_sock_recv_length", {});
}

/* A decimal number of 0..INT_MAX in a file of sysfs, or -errno. */
int read_number(const char *path)
{
	UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
	if (!file)
		return -errno;
	char text[32] = "";
	ssize_t length = read(file.get(), text, sizeof(text) - 1);
	if (length < 0)
		return -errno;
	char *end;
	long number = strtol(text, &end, 10);
	return end == text || number < 0 || number > INT32_MAX ? -EINVAL : static_cast<int>(number);
}

int open_perf_event(perf_event_attr &attributes)
{
	attributes.size = sizeof(attributes);
	// As real probes are opened: every process; the CPU is only where the event is kept.
	long fd = syscall(__NR_perf_event_open, &attributes, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : static_cast<int>(fd);
}

int try_sys_exit_tracepoint()
{
	return try_tracepoint_program("btf_trace_sys_exit", {});
}

/* A page in memory that nothing maps: a probe in it can never be hit. -errno when there is none. */
int probe_target()
{
	// 8 is MFD_NOEXEC_SEAL: wanted where vm.memfd_noexec is 2 (v6.3, commit 105ff5339f49), not known before.
	int fd = memfd_create(PROGRAM_NAME, MFD_CLOEXEC);
	if (fd < 0 && errno == EACCES)
		fd = memfd_create(PROGRAM_NAME, MFD_CLOEXEC | 8U);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, sysconf(_SC_PAGESIZE)) < 0) {
		int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

std::string path_of(const UniqueFd &file)
{
	return "/proc/self/fd/" + std::to_string(file.get());
}

int try_uprobe()
{
	UniqueFd target(probe_target());
	if (!target)
		return -target.get();
	UniqueFd program(load(BPF_PROG_TYPE_KPROBE, {}));
	if (!program)
		return -program.get();
	int type = read_number("/sys/bus/event_source/devices/uprobe/type");
	if (type < 0)
		return -type;
	std::string path = path_of(target);
	perf_event_attr attributes = {};
	attributes.type = static_cast<uint32_t>(type);
	attributes.uprobe_path = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(path.c_str()));
	UniqueFd event(open_perf_event(attributes));
	if (!event)
		return -event.get();
	return ioctl(event.get(), PERF_EVENT_IOC_SET_BPF, program.get()) < 0 ? errno : 0;
}

int try_uprobe_multi()
{
	UniqueFd target(probe_target());
	if (!target)
		return -target.get();
	UniqueFd program(load(BPF_PROG_TYPE_KPROBE, {}, ATTACH_UPROBE_MULTI));
	if (!program)
		return -program.get();
	uint64_t offset = 0;
	uint64_t cookie = 1;
	UniqueFd link(create_uprobe_multi_link(program.get(), path_of(target).c_str(), &offset, &cookie, 1, false));
	return link ? 0 : -link.get();
}

int try_attach_cookie()
{
	return load_and_close(BPF_PROG_TYPE_KPROBE, {call(BPF_FUNC_get_attach_cookie)});
}

int try_task_pt_regs()
{
	return load_and_close(BPF_PROG_TYPE_KPROBE, {call(BPF_FUNC_get_current_task_btf), copy(BPF_REG_1, BPF_REG_0),
						     call(BPF_FUNC_task_pt_regs)});
}

int try_sk_storage_tracing()
{
	// The kernel wants the types of the key and the value of such a map.
	BtfPointer types(btf__new_empty());
	if (types == nullptr)
		return errno;
	int integer = btf__add_int(types.get(), "int", 4, BTF_INT_SIGNED);
	if (integer < 0)
		return -integer;
	int error = -btf__load_into_kernel(types.get());
	if (error != 0)
		return error;
	bpf_map_create_opts opts = {};
	opts.sz = sizeof(opts);
	opts.map_flags = BPF_F_NO_PREALLOC;
	opts.btf_fd = static_cast<uint32_t>(btf__fd(types.get()));
	opts.btf_key_type_id = static_cast<uint32_t>(integer);
	opts.btf_value_type_id = static_cast<uint32_t>(integer);
	UniqueFd map(bpf_map_create(BPF_MAP_TYPE_SK_STORAGE, PROGRAM_NAME, 4, 4, 0, &opts));
	if (!map)
		return -map.get();
	// bpf_sk_storage_get(map, sk, NULL, 0) in a tracepoint that is older than the helper's use in tracing.
	Program program = {load_u64(BPF_REG_2, BPF_REG_1, 0)};
	append_map(program, BPF_REG_1, map.get());
	program.push_back(set(BPF_REG_3, 0));
	program.push_back(set(BPF_REG_4, 0));
	program.push_back(call(BPF_FUNC_sk_storage_get));
	return try_tracepoint_program("btf_trace_inet_sock_set_state", std::move(program));
}

int try_iterator_program(const char *btf_function)
{
	BtfPointer types = kernel_btf();
	if (types == nullptr)
		return errno;
	int id = btf__find_by_name_kind(types.get(), btf_function, BTF_KIND_FUNC);
	if (id < 0)
		return -id;
	UniqueFd loaded(load(BPF_PROG_TYPE_TRACING, {}, BPF_TRACE_ITER, id));
	return loaded ? 0 : -loaded.get();
}

/* All that bpf/tcp.bpf.c attaches to. */
int try_tcp_tracepoints()
{
	for (const char *type : {"btf_trace_inet_sock_set_state", "btf_trace_tcp_retransmit_skb",
				 "btf_trace_tcp_retransmit_synack", "btf_trace_tcp_receive_reset"}) {
		int error = try_tracepoint_program(type, {});
		if (error != 0)
			return error;
	}
	int error = try_iterator_program("bpf_iter_bpf_map_elem");
	return error != 0 ? error : try_iterator_program("bpf_iter_task_file");
}

enum class Rights { BPF, PERF_EVENT };

struct Feature {
	const char *name;
	int (*attempt)();
	Rights rights;
	/* Why it can be missing, and what there is to do. */
	const char *missing;
};

const Feature FEATURES[] = {
	{"bpf", try_bpf, Rights::BPF, "the kernel loads no BPF programs (CONFIG_BPF_SYSCALL, CONFIG_BPF_EVENTS)"},
	{"btf", try_btf, Rights::BPF,
	 "the kernel describes no types in /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF); give them with --btf-path"},
	{"ring_buffer", try_ring_buffer, Rights::BPF, "BPF ring buffers came with Linux 5.8"},
	{"sock_length_tracepoints", try_sock_length_tracepoints, Rights::BPF,
	 "the tracepoints sock_send_length and sock_recv_length came with Linux 6.3, and need the kernel's BTF"},
	{"sys_exit_tracepoint", try_sys_exit_tracepoint, Rights::BPF,
	 "the kernel has no system call tracepoints (CONFIG_HAVE_SYSCALL_TRACEPOINTS), or no BTF"},
	{"uprobe", try_uprobe, Rights::PERF_EVENT, "the kernel has no uprobes (CONFIG_UPROBE_EVENTS)"},
	{"uprobe_multi", try_uprobe_multi, Rights::BPF, "uprobe_multi links came with Linux 6.6"},
	{"attach_cookie", try_attach_cookie, Rights::BPF, "attach cookies came with Linux 5.15"},
	{"task_pt_regs", try_task_pt_regs, Rights::BPF, "bpf_task_pt_regs() came with Linux 5.15"},
	{"sk_storage_tracing", try_sk_storage_tracing, Rights::BPF,
	 "socket storage in tracing programs came with Linux 5.11, and needs the kernel's BTF"},
	{"tcp_tracepoints", try_tcp_tracepoints, Rights::BPF,
	 "iterators over map elements came with Linux 5.9; the tracepoints of TCP need CONFIG_INET and the kernel's "
	 "BTF"},
};

std::string explain(const Feature &feature, int error)
{
	std::string name = errno_name(error) + ": ";
	if (error == EPERM || error == EACCES)
		return name +
		       (feature.rights == Rights::BPF
				? "run as root, or with CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8); "
				  "a locked-down kernel refuses it to all"
				: "run as root, or with CAP_SYS_ADMIN; a locked-down kernel refuses it to all");
	if (error == EMFILE || error == ENFILE || error == ENOMEM)
		return name + bpf_advice(error);
	return name + feature.missing;
}

} // namespace

Napi::Value probe_feature(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::string name = text_argument(info[0], "feature");
	for (const Feature &feature : FEATURES) {
		if (name != feature.name)
			continue;
		LogScope log(env);
		int error = feature.attempt();
		Napi::Object result = Napi::Object::New(env);
		result.Set("errno", Napi::Number::New(env, error));
		result.Set("detail", error == 0 ? "" : explain(feature, error));
		return result;
	}
	throw Napi::TypeError::New(env, "feature must be one of KernelFeature, not " + name);
}

} // namespace plainsight
