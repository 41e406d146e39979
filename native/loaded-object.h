/*
 * A bpf_object in the kernel with what was made from it. BpfObject, BpfMap and Link share it: it lives until close(), or
 * until the last of them has been collected. It knows no JavaScript.
 */
#ifndef PLAINSIGHT_LOADED_OBJECT_H
#define PLAINSIGHT_LOADED_OBJECT_H

#include <bpf/libbpf.h>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "attachment.h"

namespace plainsight
{

struct MapInfo {
	std::string name;
	int fd = -1; /* the object's; -1 when that is closed */
	bpf_map_type type = BPF_MAP_TYPE_UNSPEC;
	uint32_t key_size = 0;
	uint32_t value_size = 0;      /* of one CPU */
	uint32_t user_value_size = 0; /* as the kernel copies it to user space */
	uint32_t max_entries = 0;
};

class LoadedObject
{
public:
	// SAFETY: takes `object`, which bpf_object__load() has accepted; close() destroys it.
	LoadedObject(bpf_object *object, std::string path, bool uprobe_multi);
	LoadedObject(const LoadedObject &) = delete;
	LoadedObject &operator=(const LoadedObject &) = delete;
	~LoadedObject() { close(); }

	bool closed() const { return object_ == nullptr; }
	const std::string &path() const { return path_; }
	bool uprobe_multi() const { return uprobe_multi_; }

	/* Reads what the kernel says of the maps; 0 or -errno. */
	int read_maps();
	/* nullptr when there is no such map. */
	std::shared_ptr<MapInfo> map(const std::string &name) const;
	bpf_object *get() const { return object_; }

	std::shared_ptr<Attachment> keep(std::shared_ptr<Attachment> attachment);
	void detach(const std::shared_ptr<Attachment> &attachment);
	void close() noexcept;

private:
	bpf_object *object_;
	std::string path_;
	bool uprobe_multi_;
	std::vector<std::shared_ptr<MapInfo>> maps_;
	std::unordered_set<std::shared_ptr<Attachment>> attachments_;
};

/* The bytes of a value as lookups and updates copy it, or -errno. */
long user_value_size(bpf_map_type type, uint32_t value_size);

} // namespace plainsight

#endif
