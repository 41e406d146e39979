/* The class BpfMap. */
#include "bpf-map.h"

#include <bpf/bpf.h>
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "addon-data.h"
#include "arguments.h"
#include "errors.h"

namespace plainsight
{

namespace
{

/* Random: tells a BpfMap from the wrapped objects of other classes and addons. */
constexpr napi_type_tag BPF_MAP_TAG = {0x6d0e41f1b5a94c37, 0x9c1d8f3e27b0a655};

} // namespace

void BpfMap::define(Napi::Env env)
{
	addon_data(env).bpf_map = Napi::Persistent(
		DefineClass(env, "BpfMap",
			    {InstanceMethod<&BpfMap::lookup>("lookup", napi_default_method),
			     InstanceMethod<&BpfMap::update>("update", napi_default_method),
			     InstanceMethod<&BpfMap::remove>("delete", napi_default_method),
			     InstanceMethod<&BpfMap::keys>("keys", napi_default_method),
			     InstanceMethod<&BpfMap::batch>("batch", napi_default_method)}));
}

BpfMap::BpfMap(const Napi::CallbackInfo &info) : ObjectWrap(info), state_(take_pending<State>(info))
{
	Napi::Env env = info.Env();
	Napi::Object self = info.This().As<Napi::Object>();
	const MapInfo &map = *state_.map;
	self.TypeTag(&BPF_MAP_TAG);
	self.DefineProperties({
		Napi::PropertyDescriptor::Value("name", Napi::String::New(env, map.name), napi_enumerable),
		Napi::PropertyDescriptor::Value("keySize", Napi::Number::New(env, map.key_size), napi_enumerable),
		Napi::PropertyDescriptor::Value("valueSize", Napi::Number::New(env, map.user_value_size),
						napi_enumerable),
		Napi::PropertyDescriptor::Value("maxEntries", Napi::Number::New(env, map.max_entries), napi_enumerable),
	});
}

std::shared_ptr<MapInfo> BpfMap::from(Napi::Value value, const char *name)
{
	// SAFETY: unwrapped only after its tag says that it wraps a BpfMap.
	if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&BPF_MAP_TAG))
		throw Napi::TypeError::New(value.Env(), std::string(name) + " must be a BpfMap");
	BpfMap *map = Unwrap(value.As<Napi::Object>());
	map->opened(value.Env(), false);
	return map->state_.map;
}

const MapInfo &BpfMap::opened(Napi::Env env, bool wants_key) const
{
	const MapInfo &map = *state_.map;
	if (map.fd < 0)
		throw closed_error(env, "the object of BPF map " + map.name);
	if (wants_key && map.key_size == 0)
		throw failure(env, EOPNOTSUPP, "use a key with");
	return map;
}

Napi::Error BpfMap::failure(Napi::Env env, int error, const char *operation) const
{
	const MapInfo &map = *state_.map;
	std::string advice = bpf_advice(error);
	if (error == E2BIG)
		advice = "it holds " + std::to_string(map.max_entries) + " entries: make it larger";
	return make_error(env, "MAP", error, std::string("cannot ") + operation + " BPF map " + map.name, advice);
}

Napi::Value BpfMap::lookup(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	const MapInfo &map = opened(env);
	Napi::Uint8Array value = Napi::Uint8Array::New(env, map.user_value_size);
	const uint8_t *key = bytes_argument(info[0], "key", map.key_size);
	// SAFETY: the kernel writes user_value_size bytes, which is what it says of the map and of the CPUs.
	int error = -bpf_map_lookup_elem(map.fd, key, value.Data());
	if (error == ENOENT)
		return env.Undefined();
	if (error != 0)
		throw failure(env, error, "read");
	return value;
}

void BpfMap::update(const Napi::CallbackInfo &info)
{
	const MapInfo &map = opened(info.Env());
	const uint8_t *key = bytes_argument(info[0], "key", map.key_size);
	const uint8_t *value = bytes_argument(info[1], "value", map.user_value_size);
	int error = -bpf_map_update_elem(map.fd, key, value, BPF_ANY);
	if (error != 0)
		throw failure(info.Env(), error, "write to");
}

Napi::Value BpfMap::remove(const Napi::CallbackInfo &info)
{
	const MapInfo &map = opened(info.Env());
	int error = -bpf_map_delete_elem(map.fd, bytes_argument(info[0], "key", map.key_size));
	if (error != 0 && error != ENOENT)
		throw failure(info.Env(), error, "delete from");
	return Napi::Boolean::New(info.Env(), error == 0);
}

/*
 * While others delete, the kernel may start over and give keys twice; it never gives more than the limit, nor more than
 * the map can hold.
 */
Napi::Value BpfMap::keys(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	const MapInfo &map = opened(env);
	size_t limit = std::min(integer_argument(info[0], "limit", 0, UINT32_MAX), map.max_entries);
	std::vector<uint8_t> found;
	for (size_t count = 0; count < limit; count++) {
		size_t end = found.size();
		found.resize(end + map.key_size);
		// SAFETY: after resize(), which may move the bytes. The kernel writes the last key_size of them.
		const uint8_t *previous = count == 0 ? nullptr : found.data() + end - map.key_size;
		int error = -bpf_map_get_next_key(map.fd, previous, found.data() + end);
		if (error == 0)
			continue;
		found.resize(end);
		if (error == ENOENT)
			break;
		throw failure(env, error, "list the keys of");
	}
	Napi::Uint8Array keys = Napi::Uint8Array::New(env, found.size());
	if (!found.empty())
		memcpy(keys.Data(), found.data(), found.size());
	return keys;
}

/* Many per system call: the kernel copies whole buckets of a hash, of which the cursor is a number. */
Napi::Value BpfMap::batch(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	const MapInfo &map = opened(env);
	if (map.type != BPF_MAP_TYPE_HASH && map.type != BPF_MAP_TYPE_LRU_HASH)
		throw failure(env, EOPNOTSUPP, "read in batches");
	bool first = info[0].IsUndefined();
	uint32_t position = first ? 0 : integer_argument(info[0], "cursor", 0, UINT32_MAX), next = 0;
	uint32_t count = integer_argument(info[1], "count", 1, map.max_entries);
	// SAFETY: the kernel writes at most `count` keys and values, which is what both have room for.
	uint8_t *keys = room_argument(info[2], "keys", static_cast<size_t>(count) * map.key_size);
	uint8_t *values = room_argument(info[3], "values", static_cast<size_t>(count) * map.user_value_size);
	int error = -bpf_map_lookup_batch(map.fd, first ? nullptr : &position, &next, keys, values, &count, nullptr);
	if (error != 0 && error != ENOENT)
		throw failure(env, error, "read in batches");
	Napi::Object result = Napi::Object::New(env);
	result.Set("count", Napi::Number::New(env, count));
	result.Set("next", error == ENOENT ? env.Undefined() : Napi::Number::New(env, next));
	return result;
}

} // namespace plainsight
