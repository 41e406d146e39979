/* BpfObject::iterate(): runs an iterator program. */
#include "bpf-object.h"

#include <bpf/bpf.h>
#include <unistd.h>
#include <cerrno>

#include "arguments.h"
#include "bpf-map.h"
#include "errors.h"
#include "log.h"
#include "unique-fd.h"

namespace plainsight
{

void BpfObject::iterate(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::string name = text_argument(info[0], "program");
	bpf_iter_link_info target = {};
	bpf_iter_attach_opts opts = {};
	opts.sz = sizeof(opts);
	if (!info[1].IsUndefined()) {
		target.map.map_fd = static_cast<uint32_t>(BpfMap::from(info[1], "map")->fd);
		opts.link_info = &target;
		opts.link_info_len = sizeof(target);
	}
	LogScope log(env);
	bpf_program *program = loaded_program(env, name);
	std::string what = "cannot run BPF iterator " + name;
	bpf_link *link = bpf_program__attach_iter(program, &opts);
	if (link == nullptr)
		throw make_error(env, "ATTACH", errno, what, bpf_advice(errno), log.warnings());
	UniqueFd iterator(bpf_iter_create(bpf_link__fd(link)));
	int error = iterator ? 0 : -iterator.get();
	char unused[4096];
	ssize_t count = 0;
	while (error == 0) {
		count = read(iterator.get(), unused, sizeof(unused));
		if (count == 0)
			break;
		// A long way is cut into pieces: the kernel answers EAGAIN between them.
		if (count < 0 && errno != EAGAIN && errno != EINTR)
			error = errno;
	}
	bpf_link__destroy(link);
	if (error != 0)
		throw make_error(env, "ATTACH", error, what, bpf_advice(error), log.warnings());
}

} // namespace plainsight
