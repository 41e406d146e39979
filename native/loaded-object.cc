/* The life of a loaded bpf_object. */
#include "loaded-object.h"

#include <bpf/bpf.h>

namespace plainsight
{

LoadedObject::LoadedObject(bpf_object *object, std::string path, bool uprobe_multi)
	: object_(object), path_(std::move(path)), uprobe_multi_(uprobe_multi)
{
}

long user_value_size(bpf_map_type type, uint32_t value_size)
{
	switch (type) {
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
	case BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE: {
		int cpus = libbpf_num_possible_cpus();
		if (cpus < 0)
			return cpus;
		return static_cast<long>((static_cast<uint64_t>(value_size) + 7) / 8 * 8 * static_cast<unsigned>(cpus));
	}
	default:
		return value_size;
	}
}

int LoadedObject::read_maps()
{
	bpf_map *map;
	bpf_object__for_each_map(map, object_)
	{
		int fd = bpf_map__fd(map);
		if (fd < 0)
			continue; // not created: its programs are skipped
		bpf_map_info info = {};
		uint32_t length = sizeof(info);
		int error = bpf_obj_get_info_by_fd(fd, &info, &length);
		if (error < 0)
			return error;
		auto kept = std::make_shared<MapInfo>();
		kept->name = bpf_map__name(map);
		kept->fd = fd;
		kept->type = static_cast<bpf_map_type>(info.type);
		kept->key_size = info.key_size;
		kept->value_size = info.value_size;
		kept->max_entries = info.max_entries;
		long size = user_value_size(kept->type, info.value_size);
		if (size < 0)
			return static_cast<int>(size);
		kept->user_value_size = static_cast<uint32_t>(size);
		maps_.push_back(std::move(kept));
	}
	return 0;
}

std::shared_ptr<MapInfo> LoadedObject::map(const std::string &name) const
{
	for (const std::shared_ptr<MapInfo> &map : maps_)
		if (map->name == name)
			return map;
	return nullptr;
}

std::shared_ptr<Attachment> LoadedObject::keep(std::shared_ptr<Attachment> attachment)
{
	return *attachments_.insert(std::move(attachment)).first;
}

void LoadedObject::detach(const std::shared_ptr<Attachment> &attachment)
{
	attachment->close();
	attachments_.erase(attachment);
}

void LoadedObject::close() noexcept
{
	if (object_ == nullptr)
		return;
	Attachment::close_all({attachments_.begin(), attachments_.end()});
	attachments_.clear();
	for (const std::shared_ptr<MapInfo> &map : maps_)
		map->fd = -1;
	bpf_object__close(object_);
	object_ = nullptr;
}

} // namespace plainsight
