/* The class BpfObject. */
#include "bpf-object.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <sys/stat.h>
#include <cerrno>
#include <cinttypes>
#include <cstring>

#include "addon-data.h"
#include "arguments.h"
#include "bpf-map.h"
#include "errors.h"
#include "link.h"
#include "log.h"
#include "uprobe-multi.h"

namespace plainsight
{

namespace
{

/* Far more than one file needs, and far below the kernel's own limit of 2^20 (MAX_UPROBE_MULTI_CNT, v6.7). */
constexpr size_t MAX_SITES = 65536;

struct OpenOptions {
	std::string path;
	std::string btf_path;
	std::vector<std::shared_ptr<MapInfo>> shared_maps;
	std::vector<std::pair<std::string, uint32_t>> map_sizes;
	std::vector<std::string> skip_programs;
	bool uprobe_multi = false;
};

struct ObjectCloser {
	void operator()(bpf_object *object) const { bpf_object__close(object); }
};
using ObjectPointer = std::unique_ptr<bpf_object, ObjectCloser>;

OpenOptions open_options(const Napi::CallbackInfo &info)
{
	OpenOptions options;
	options.path = text_argument(info[0], "path");
	Napi::Object given = object_argument(info[1], "options");
	Napi::Value value = given.Get("btfPath");
	if (!value.IsUndefined())
		options.btf_path = text_argument(value, "btfPath");
	value = given.Get("mapSizes");
	if (!value.IsUndefined()) {
		Napi::Object sizes = object_argument(value, "mapSizes");
		Napi::Array names = sizes.GetPropertyNames();
		for (uint32_t i = 0; i < names.Length(); i++) {
			std::string name = text_argument(names.Get(i), "mapSizes");
			Napi::Value size = sizes.Get(name);
			options.map_sizes.emplace_back(name, integer_argument(size, "mapSizes", 1, UINT32_MAX));
		}
	}
	value = given.Get("skipPrograms");
	if (!value.IsUndefined()) {
		Napi::Array names = array_argument(value, "skipPrograms");
		for (uint32_t i = 0; i < names.Length(); i++)
			options.skip_programs.push_back(text_argument(names.Get(i), "skipPrograms"));
	}
	value = given.Get("uprobeMethod");
	if (!value.IsUndefined()) {
		std::string method = text_argument(value, "uprobeMethod");
		if (method != "multi" && method != "perf")
			throw Napi::TypeError::New(info.Env(), "uprobeMethod must be 'multi' or 'perf'");
		options.uprobe_multi = method == "multi";
	}
	// Last: reading the other options may run JavaScript, and that may close the object of a shared map.
	value = given.Get("sharedMaps");
	if (!value.IsUndefined()) {
		Napi::Array maps = array_argument(value, "sharedMaps");
		std::vector<Napi::Value> values;
		for (uint32_t i = 0; i < maps.Length(); i++)
			values.push_back(maps.Get(i));
		for (const Napi::Value &map : values)
			options.shared_maps.push_back(BpfMap::from(map, "sharedMaps"));
	}
	return options;
}

/* libbpf would block on a FIFO, and says of a directory that its format is wrong. */
void check_object_file(Napi::Env env, const std::string &path)
{
	struct stat status;
	int error = stat(path.c_str(), &status) < 0 ? errno : S_ISREG(status.st_mode) ? 0 : EINVAL;
	if (error != 0)
		throw make_error(env, "FILE", error, "BPF object " + path + " cannot be read",
				 error == ENOENT ? "it is not built; run: npm run build" : "");
}

/* libbpf looks at the file only when the object has CO-RE relocations, and says little when it is not BTF. */
void check_btf_file(Napi::Env env, const std::string &path)
{
	btf *parsed = btf__parse(path.c_str(), nullptr);
	int error = errno;
	if (parsed == nullptr) {
		bool unreadable = error == ENOENT || error == EACCES || error == EISDIR;
		throw make_error(env, unreadable ? "FILE" : "LOAD", error, "BTF file " + path + " cannot be used",
				 "give the BTF of the running kernel, as raw BTF or in an ELF file");
	}
	uint32_t types = btf__type_cnt(parsed);
	btf__free(parsed);
	if (types <= 1)
		throw make_error(env, "LOAD", ENODATA, "BTF file " + path + " holds no types",
				 "give the BTF of the running kernel, as raw BTF or in an ELF file");
}

bool is_uprobe(const bpf_program *program)
{
	const char *section = bpf_program__section_name(program);
	return bpf_program__type(program) == BPF_PROG_TYPE_KPROBE &&
	       (strncmp(section, "uprobe", 6) == 0 || strncmp(section, "uretprobe", 9) == 0);
}

/* By function name, else by section. nullptr: none, or more than one with that section. */
bpf_program *find_program(bpf_object *object, const std::string &name)
{
	bpf_program *by_section = nullptr;
	int sections = 0;
	bpf_program *program;
	bpf_object__for_each_program(program, object)
	{
		if (name == bpf_program__name(program))
			return program;
		if (name == bpf_program__section_name(program)) {
			by_section = program;
			sections++;
		}
	}
	return sections == 1 ? by_section : nullptr;
}

Napi::Error no_program(Napi::Env env, const std::string &path, const std::string &name)
{
	return make_error(env, "USAGE", ENOENT, "no one program of BPF object " + path + " is called " + name,
			  "name its function");
}

void choose_programs(Napi::Env env, bpf_object *object, const OpenOptions &options)
{
	bpf_program *program;
	for (const std::string &name : options.skip_programs) {
		program = find_program(object, name);
		if (program == nullptr)
			throw no_program(env, options.path, name);
		bpf_program__set_autoload(program, false);
	}
	bpf_object__for_each_program(program, object)
	{
		if (options.uprobe_multi && is_uprobe(program))
			bpf_program__set_expected_attach_type(program, ATTACH_UPROBE_MULTI);
	}
}

void choose_maps(Napi::Env env, bpf_object *object, const OpenOptions &options)
{
	for (const auto &[name, size] : options.map_sizes) {
		bpf_map *map = bpf_object__find_map_by_name(object, name.c_str());
		int error = map == nullptr ? 0 : -bpf_map__set_max_entries(map, size);
		if (error != 0)
			throw make_error(env, "LOAD", error,
					 "BPF map " + name + " cannot have " + std::to_string(size) + " entries", "");
	}
	for (const std::shared_ptr<MapInfo> &shared : options.shared_maps) {
		bpf_map *map = bpf_object__find_map_by_name(object, shared->name.c_str());
		if (map == nullptr)
			continue;
		// A map of another shape would be taken by libbpf, and the verifier's complaint names no map.
		bool same = bpf_map__type(map) == shared->type && bpf_map__key_size(map) == shared->key_size &&
			    bpf_map__value_size(map) == shared->value_size;
		int error = same ? -bpf_map__reuse_fd(map, shared->fd) : EINVAL;
		if (error != 0)
			throw make_error(env, "LOAD", error, "BPF map " + shared->name + " cannot be shared",
					 same ? bpf_advice(error)
					      : "its type, key or value differs from that in " + options.path);
	}
}

/* Those that are not skipped. */
Napi::Array program_infos(Napi::Env env, const bpf_object *object)
{
	Napi::Array infos = Napi::Array::New(env);
	bpf_program *program;
	bpf_object__for_each_program(program, object)
	{
		if (!bpf_program__autoload(program))
			continue;
		Napi::Object entry = Napi::Object::New(env);
		entry.Set("name", bpf_program__name(program));
		entry.Set("section", bpf_program__section_name(program));
		entry.Set("instructions", Napi::Number::New(env, static_cast<double>(bpf_program__insn_cnt(program))));
		entry.Freeze();
		infos.Set(infos.Length(), entry);
	}
	infos.Freeze();
	return infos;
}

std::string uprobe_advice(int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		return "run as root; uprobe_multi (Linux 6.6) needs CAP_BPF and CAP_PERFMON, perf events CAP_SYS_ADMIN";
	case ENOENT:
	case ESRCH:
		return "the file is gone, or the process it was reached through";
	case EOPNOTSUPP:
		return "this kernel has no attach cookies (Linux 5.15)";
	case 524: /* ENOTSUPP of the kernel, arch_uprobe_analyze_insn() */
		return "the instruction there cannot be probed";
	case EINVAL:
	case EBADF:
		return "an offset lies outside of the file, the file is not a regular one, or the kernel lacks the "
		       "method";
	default:
		return bpf_advice(error);
	}
}

} // namespace

void BpfObject::define(Napi::Env env)
{
	addon_data(env).bpf_object = Napi::Persistent(
		DefineClass(env, "BpfObject",
			    {InstanceMethod<&BpfObject::map>("map", napi_default_method),
			     InstanceMethod<&BpfObject::attach>("attach", napi_default_method),
			     InstanceMethod<&BpfObject::attach_uprobes>("attachUprobes", napi_default_method),
			     InstanceMethod<&BpfObject::iterate>("iterate", napi_default_method),
			     InstanceMethod<&BpfObject::misses>("misses", napi_default_method),
			     InstanceMethod<&BpfObject::close>("close", napi_default_method)}));
}

Napi::Value BpfObject::open(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	OpenOptions options = open_options(info);
	LogScope log(env);
	check_object_file(env, options.path);
	if (!options.btf_path.empty())
		check_btf_file(env, options.btf_path);

	bpf_object_open_opts open_opts = {};
	open_opts.sz = sizeof(open_opts);
	open_opts.btf_custom_path = options.btf_path.empty() ? nullptr : options.btf_path.c_str();
	ObjectPointer object(bpf_object__open_file(options.path.c_str(), &open_opts));
	if (object == nullptr) {
		int error = errno;
		bool unreadable = error == EACCES || error == ENOENT || error == EMFILE || error == ENFILE;
		throw make_error(env, unreadable ? "FILE" : "LOAD", error,
				 "BPF object " + options.path + " cannot be opened",
				 unreadable ? bpf_advice(error) : "build it again: npm run build", log.warnings());
	}
	choose_programs(env, object.get(), options);
	choose_maps(env, object.get(), options);
	Napi::Array programs = program_infos(env, object.get());

	int error = -bpf_object__load(object.get());
	if (error != 0)
		throw make_error(env, "LOAD", error, "the kernel refused BPF object " + options.path,
				 error == EACCES || error == EINVAL
					 ? "the verifier's reason is in the log of this error"
					 : bpf_advice(error),
				 log.warnings());
	auto loaded = std::make_shared<LoadedObject>(object.get(), options.path, options.uprobe_multi);
	object.release(); // SAFETY: `loaded` owns it now.
	error = -loaded->read_maps();
	if (error != 0)
		throw make_error(env, "MAP", error, "the maps of BPF object " + options.path + " cannot be described",
				 bpf_advice(error));
	Napi::Object wrapped = wrap(env, addon_data(env).bpf_object, State{std::move(loaded)});
	wrapped.DefineProperty(Napi::PropertyDescriptor::Value("programs", programs, napi_enumerable));
	return wrapped;
}

BpfObject::BpfObject(const Napi::CallbackInfo &info) : ObjectWrap(info), state_(take_pending<State>(info)) {}

LoadedObject &BpfObject::opened(Napi::Env env) const
{
	if (state_.object->closed())
		throw closed_error(env, "BPF object " + state_.object->path());
	return *state_.object;
}

bpf_program *BpfObject::loaded_program(Napi::Env env, const std::string &name) const
{
	const LoadedObject &object = opened(env);
	bpf_program *program = find_program(object.get(), name);
	if (program == nullptr)
		throw no_program(env, object.path(), name);
	if (bpf_program__fd(program) < 0)
		throw make_error(env, "USAGE", ENOENT, "BPF program " + name + " was not loaded",
				 "take it out of skipPrograms");
	return program;
}

Napi::Value BpfObject::misses(const Napi::CallbackInfo &info)
{
	bpf_program *program = loaded_program(info.Env(), text_argument(info[0], "program"));
	bpf_prog_info description = {};
	uint32_t size = sizeof(description);
	// Below 5.12 the kernel leaves the field alone.
	if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &description, &size) != 0)
		return Napi::Number::New(info.Env(), 0);
	return Napi::Number::New(info.Env(), static_cast<double>(description.recursion_misses));
}

Napi::Value BpfObject::linked(Napi::Env env, std::shared_ptr<Attachment> attachment)
{
	return wrap(env, addon_data(env).link, Link::State{state_.object, state_.object->keep(std::move(attachment))});
}

Napi::Value BpfObject::map(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::string name = text_argument(info[0], "name");
	std::shared_ptr<MapInfo> map = opened(env).map(name);
	if (map == nullptr)
		throw make_error(env, "USAGE", ENOENT, "BPF object " + state_.object->path() + " has no map " + name,
				 "");
	return wrap(env, addon_data(env).bpf_map, BpfMap::State{state_.object, std::move(map)});
}

Napi::Value BpfObject::attach(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::string name = text_argument(info[0], "program");
	LogScope log(env);
	bpf_program *program = loaded_program(env, name);
	if (is_uprobe(program))
		throw make_error(env, "USAGE", EINVAL, "BPF program " + name + " is an uprobe program",
				 "use attachUprobes()");
	auto attachment = std::make_shared<Attachment>();
	attachment->reserve(1);
	bpf_link *link = bpf_program__attach(program);
	int error = errno;
	if (link == nullptr) {
		std::string advice = bpf_advice(error);
		bool tracepoint = bpf_program__type(program) == BPF_PROG_TYPE_TRACEPOINT;
		if (error == ENOENT)
			advice = tracepoint ? "no such tracepoint, or tracefs is not mounted: mount -t tracefs tracefs "
					      "/sys/kernel/tracing"
					    : "the kernel does not have what it is to be attached to";
		else if (tracepoint && (error == EPERM || error == EACCES))
			advice = "run as root, or with CAP_SYS_ADMIN: perf events on tracepoints need it";
		throw make_error(env, "ATTACH", error,
				 "cannot attach BPF program " + name + " (" + bpf_program__section_name(program) + ")",
				 advice, log.warnings());
	}
	attachment->add(link);
	return linked(env, std::move(attachment));
}

Napi::Value BpfObject::attach_uprobes(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::string name = text_argument(info[0], "program");
	std::string path = text_argument(info[1], "path");
	// libbpf looks a bare name up in the library path.
	if (path[0] != '/')
		throw Napi::TypeError::New(env, "path must be absolute");
	Napi::Object sites = object_argument(info[2], "sites");
	std::vector<uint64_t> offsets = u64s_argument(sites.Get("offsets"), "sites.offsets", MAX_SITES);
	std::vector<uint64_t> cookies = u64s_argument(sites.Get("cookies"), "sites.cookies", MAX_SITES);
	if (cookies.size() != offsets.size())
		throw Napi::TypeError::New(env, "sites.cookies must have as many elements as sites.offsets");
	bool return_probe = boolean_argument(object_argument(info[3], "options").Get("returnProbe"),
					     "options.returnProbe");

	LogScope log(env);
	bpf_program *program = loaded_program(env, name);
	if (!is_uprobe(program))
		throw make_error(env, "USAGE", EINVAL, "BPF program " + name + " is not an uprobe program",
				 "use attach()");
	std::string what = "cannot attach BPF program " + name + " to " + path;

	if (state_.object->uprobe_multi()) {
		UniqueFd link(create_uprobe_multi_link(bpf_program__fd(program), path.c_str(), offsets.data(),
						       cookies.data(), static_cast<uint32_t>(offsets.size()),
						       return_probe));
		if (!link)
			throw make_error(env, "ATTACH", -link.get(),
					 what + " at " + std::to_string(offsets.size()) + " sites",
					 uprobe_advice(-link.get()));
		return linked(env, std::make_shared<Attachment>(std::move(link)));
	}

	// Destroyed with all its links when a site fails.
	auto attachment = std::make_shared<Attachment>();
	attachment->reserve(offsets.size());
	for (size_t i = 0; i < offsets.size(); i++) {
		bpf_uprobe_opts opts = {};
		opts.sz = sizeof(opts);
		opts.bpf_cookie = cookies[i];
		opts.retprobe = return_probe;
		bpf_link *link = bpf_program__attach_uprobe_opts(program, -1, path.c_str(), offsets[i], &opts);
		int error = errno;
		if (link == nullptr) {
			char offset[32];
			snprintf(offset, sizeof(offset), "0x%" PRIx64, offsets[i]);
			throw make_error(env, "ATTACH", error,
					 what + " at offset " + offset + " (site " + std::to_string(i + 1) + " of " +
						 std::to_string(offsets.size()) + ")",
					 uprobe_advice(error), log.warnings());
		}
		attachment->add(link);
	}
	return linked(env, std::move(attachment));
}

void BpfObject::close(const Napi::CallbackInfo &info)
{
	if (state_.object->closed())
		return;
	LogScope log(info.Env());
	state_.object->close();
}

} // namespace plainsight
