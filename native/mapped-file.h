/*
 * The class MappedFile: a regular file as a read-only Uint8Array, without a copy. It refuses what is not a regular file
 * without opening it (opening a device can have effects), empty files and files of 2 GiB and more. The file is open only
 * while it is being mapped.
 */
#ifndef PLAINSIGHT_MAPPED_FILE_H
#define PLAINSIGHT_MAPPED_FILE_H

#include <napi.h>
#include <memory>
#include <string>

namespace plainsight
{

/* Pages of a file, unmapped once: by close(), or when nobody uses them any more. */
class Mapping
{
public:
	Mapping() = default;
	Mapping(const Mapping &) = delete;
	Mapping &operator=(const Mapping &) = delete;
	~Mapping() { unmap(); }

	/* 0 or -errno. */
	int map(int fd, size_t length);
	void unmap() noexcept;
	bool faulted() const;
	void *start() const { return start_; }
	size_t length() const { return length_; }

private:
	// SAFETY: nullptr when not mapped. JavaScript sees the pages only through the ArrayBuffer of MappedFile.
	void *start_ = nullptr;
	size_t length_ = 0;
	int guard_ = -1;
	bool faulted_ = false;
};

class MappedFile : public Napi::ObjectWrap<MappedFile>
{
public:
	struct State {
		std::shared_ptr<Mapping> mapping;
		uint64_t device;
		uint64_t inode;
	};

	static void define(Napi::Env env);
	/* mapFile(path) */
	static Napi::Value open(const Napi::CallbackInfo &info);
	explicit MappedFile(const Napi::CallbackInfo &info);

private:
	Napi::Value truncated(const Napi::CallbackInfo &info);
	void close(const Napi::CallbackInfo &info);

	std::shared_ptr<Mapping> mapping_;
	Napi::Reference<Napi::Uint8Array> bytes_;
};

} // namespace plainsight

#endif
