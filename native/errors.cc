/* Builds the errors of the addon; errors.h says which. */
#include "errors.h"

#include <bpf/libbpf.h>
#include <cerrno>
#include <cstring>

#include "addon-data.h"

namespace plainsight
{

namespace
{

/* The kernel's own number for "not supported", which leaks out of bpf() and has no name in errno.h. */
constexpr int KERNEL_ENOTSUPP = 524;

/* JavaScript sees only real errno numbers: libbpf's say that an object or BTF is malformed. */
int real_errno(int error)
{
	if (error >= __LIBBPF_ERRNO__START)
		return ENOEXEC;
	return error > 0 ? error : EINVAL;
}

} // namespace

std::string errno_name(int error)
{
	if (error == KERNEL_ENOTSUPP)
		return "ENOTSUPP";
	const char *name = strerrorname_np(real_errno(error));
	return name != nullptr ? name : "errno " + std::to_string(error);
}

std::string errno_text(int error)
{
	char text[128] = "";
	if (error == KERNEL_ENOTSUPP)
		return "ENOTSUPP (Operation not supported by the kernel)";
	libbpf_strerror(error, text, sizeof(text));
	return errno_name(error) + " (" + text + ")";
}

std::string bpf_advice(int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		return "run as root, or with CAP_BPF and CAP_PERFMON on Linux 6.6 and later, CAP_SYS_ADMIN before";
	case EMFILE:
	case ENFILE:
		return "raise the limit of open files (ulimit -n, LimitNOFILE=)";
	case ENOMEM:
		return "the kernel has no memory for it: make the maps smaller or raise the memory limit of the cgroup";
	default:
		return "";
	}
}

Napi::Error make_error(Napi::Env env, const char *code, int error, const std::string &what, const std::string &advice,
		       const std::string &log)
{
	std::string message = what + ": " + errno_text(error);
	if (!advice.empty())
		message += "; " + advice;
	const Napi::FunctionReference &error_class = addon_data(env).error_class;
	Napi::Number number = Napi::Number::New(env, real_errno(error));
	Napi::Object object;
	if (error_class.IsEmpty()) {
		object = Napi::Error::New(env, message).Value();
		object.Set("code", code);
		object.Set("errno", number);
	} else {
		Napi::Object options = Napi::Object::New(env);
		options.Set("errno", number);
		object = error_class.New({Napi::String::New(env, code), Napi::String::New(env, message), options});
	}
	if (!log.empty())
		object.Set("log", log);
	return Napi::Error(env, object);
}

Napi::Error closed_error(Napi::Env env, const std::string &what)
{
	return make_error(env, "USAGE", EBADF, what + " is closed", "open it again");
}

} // namespace plainsight
