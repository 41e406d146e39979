/* The class MappedFile. */
#include "mapped-file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <cerrno>

#include "addon-data.h"
#include "arguments.h"
#include "errors.h"
#include "fault-guard.h"
#include "unique-fd.h"

namespace plainsight
{

namespace
{

/* Random: tells a MappedFile from the wrapped objects of other classes and addons. */
constexpr napi_type_tag MAPPED_FILE_TAG = {0x51c07be2a8f3469d, 0xb3aa04d97e615fc8};

/* Offsets into it stay below 2^31, and it fits any ArrayBuffer. */
constexpr off_t MAX_FILE_BYTES = 0x7fffffff;

Napi::Error failure(Napi::Env env, int error, const std::string &path, const std::string &advice)
{
	return make_error(env, "FILE", error, "file " + path + " cannot be mapped", advice);
}

std::string open_advice(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return "run as root, or with CAP_DAC_READ_SEARCH (and CAP_SYS_PTRACE below /proc)";
	case EMFILE:
	case ENFILE:
		return "raise the limit of open files (ulimit -n, LimitNOFILE=)";
	default:
		return "";
	}
}

/* Opened by path only to be looked at; then, as a regular file, for reading. */
UniqueFd open_regular(Napi::Env env, const std::string &path, struct stat &status)
{
	UniqueFd handle(::open(path.c_str(), O_PATH | O_CLOEXEC));
	if (!handle || fstat(handle.get(), &status) < 0)
		throw failure(env, errno, path, open_advice(errno));
	if (S_ISDIR(status.st_mode))
		throw failure(env, EISDIR, path, "");
	if (!S_ISREG(status.st_mode))
		throw failure(env, EINVAL, path, "it is not a regular file");
	std::string reopened = "/proc/self/fd/" + std::to_string(handle.get());
	UniqueFd file(::open(reopened.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
	if (!file || fstat(file.get(), &status) < 0)
		throw failure(env, errno, path, open_advice(errno));
	return file;
}

} // namespace

int Mapping::map(int fd, size_t length)
{
	// Shared: into private mappings of a file, executable or not, uprobes write their breakpoints (valid_vma() of
	// kernel/events/uprobes.c at v6.12), and code that somebody probes already would not read as what it is.
	void *start = mmap(nullptr, length, PROT_READ, MAP_SHARED, fd, 0);
	if (start == MAP_FAILED)
		return -errno;
	int guard = guard_add(start, length);
	if (guard < 0) {
		munmap(start, length);
		return guard;
	}
	start_ = start;
	length_ = length;
	guard_ = guard;
	return 0;
}

void Mapping::unmap() noexcept
{
	if (start_ == nullptr)
		return;
	faulted_ = guard_faulted(guard_);
	guard_remove(guard_);
	munmap(start_, length_);
	start_ = nullptr;
}

bool Mapping::faulted() const
{
	return start_ == nullptr ? faulted_ : guard_faulted(guard_);
}

void MappedFile::define(Napi::Env env)
{
	addon_data(env).mapped_file = Napi::Persistent(
		DefineClass(env, "MappedFile",
			    {InstanceAccessor<&MappedFile::truncated>("truncated", napi_enumerable),
			     InstanceMethod<&MappedFile::close>("close", napi_default_method)}));
}

Napi::Value MappedFile::open(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::string path = text_argument(info[0], "path");
	struct stat status;
	UniqueFd file = open_regular(env, path, status);
	if (status.st_size == 0)
		throw failure(env, ENODATA, path, "it is empty");
	if (status.st_size > MAX_FILE_BYTES)
		throw failure(env, EFBIG, path, "files of 2 GiB and more are not read");
	auto mapping = std::make_shared<Mapping>();
	int error = -mapping->map(file.get(), static_cast<size_t>(status.st_size));
	if (error != 0)
		throw failure(env, error, path,
			      error == EMFILE ? "close some of the " + std::to_string(MAX_GUARDED) + " mapped files"
					      : "");
	return wrap(env, addon_data(env).mapped_file, State{std::move(mapping), status.st_dev, status.st_ino});
}

MappedFile::MappedFile(const Napi::CallbackInfo &info) : ObjectWrap(info)
{
	Napi::Env env = info.Env();
	State state = take_pending<State>(info);
	mapping_ = std::move(state.mapping);
	// SAFETY: the ArrayBuffer shares the mapping, so that the pages stay while it can be reached; Node.js does not let
	// external memory be transferred to another thread.
	auto shared = std::make_unique<std::shared_ptr<Mapping>>(mapping_);
	Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
		env, mapping_->start(), mapping_->length(),
		[](Napi::Env, void *, std::shared_ptr<Mapping> *hint) { delete hint; }, shared.get());
	shared.release();
	Napi::Uint8Array bytes = Napi::Uint8Array::New(env, mapping_->length(), buffer, 0);
	bytes_ = Napi::Persistent(bytes);
	Napi::Object self = info.This().As<Napi::Object>();
	self.TypeTag(&MAPPED_FILE_TAG);
	self.DefineProperties({
		Napi::PropertyDescriptor::Value("bytes", bytes, napi_enumerable),
		Napi::PropertyDescriptor::Value("device", Napi::BigInt::New(env, state.device), napi_enumerable),
		Napi::PropertyDescriptor::Value("inode", Napi::BigInt::New(env, state.inode), napi_enumerable),
	});
}

Napi::Value MappedFile::truncated(const Napi::CallbackInfo &info)
{
	// SAFETY: unlike methods, accessors can be called with the wrapped object of another class.
	if (!info.This().As<Napi::Object>().CheckTypeTag(&MAPPED_FILE_TAG))
		throw Napi::TypeError::New(info.Env(), "Illegal invocation");
	return Napi::Boolean::New(info.Env(), mapping_->faulted());
}

void MappedFile::close(const Napi::CallbackInfo &)
{
	if (bytes_.IsEmpty())
		return;
	// SAFETY: detached before the pages go: every view of the buffer has length 0 from here on. A buffer that is empty
	// already was moved into another one (ArrayBuffer.prototype.transfer): the pages go with that.
	Napi::ArrayBuffer buffer = bytes_.Value().ArrayBuffer();
	if (buffer.ByteLength() == mapping_->length()) {
		buffer.Detach();
		mapping_->unmap();
	}
	bytes_.Reset();
}

} // namespace plainsight
