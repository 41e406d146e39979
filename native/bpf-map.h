/*
 * The class BpfMap: reads and writes one map of a loaded object. Closed when its object is closed. Values of per-CPU
 * maps are as the kernel copies them: the values of all possible CPUs, each rounded up to 8 bytes.
 */
#ifndef PLAINSIGHT_BPF_MAP_H
#define PLAINSIGHT_BPF_MAP_H

#include <napi.h>
#include <memory>

#include "loaded-object.h"

namespace plainsight
{

class BpfMap : public Napi::ObjectWrap<BpfMap>
{
public:
	struct State {
		std::shared_ptr<LoadedObject> object;
		std::shared_ptr<MapInfo> map;
	};

	static void define(Napi::Env env);
	/* The open map behind a JavaScript value; a TypeError when it is not a BpfMap, an error when it is closed. */
	static std::shared_ptr<MapInfo> from(Napi::Value value, const char *name);
	explicit BpfMap(const Napi::CallbackInfo &info);

private:
	Napi::Value lookup(const Napi::CallbackInfo &info);
	void update(const Napi::CallbackInfo &info);
	Napi::Value remove(const Napi::CallbackInfo &info);
	Napi::Value keys(const Napi::CallbackInfo &info);
	Napi::Value batch(const Napi::CallbackInfo &info);

	const MapInfo &opened(Napi::Env env, bool wants_key = true) const;
	Napi::Error failure(Napi::Env env, int error, const char *operation) const;

	State state_;
};

} // namespace plainsight

#endif
