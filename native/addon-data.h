/*
 * What one environment (the main thread, a worker) keeps: constructors and callbacks. Node.js deletes it when the
 * environment ends. Nothing here is shared between threads.
 */
#ifndef PLAINSIGHT_ADDON_DATA_H
#define PLAINSIGHT_ADDON_DATA_H

#include <napi.h>

namespace plainsight
{

struct AddonData {
	Napi::FunctionReference error_class;
	Napi::FunctionReference log;
	Napi::FunctionReference bpf_object;
	Napi::FunctionReference bpf_map;
	Napi::FunctionReference link;
	Napi::FunctionReference ring_buffer;
	Napi::FunctionReference mapped_file;
	bool delivering_log = false;
	// SAFETY: points to the argument of wrap() while the constructor runs, which is the only one to read it.
	void *pending = nullptr;
};

inline AddonData &addon_data(Napi::Env env)
{
	return *env.GetInstanceData<AddonData>();
}

/* Makes the JavaScript object of `state`: the only way to construct the classes of the addon. */
template <class State> Napi::Object wrap(Napi::Env env, const Napi::FunctionReference &constructor, State state)
{
	AddonData &data = addon_data(env);
	data.pending = &state;
	try {
		Napi::Object object = constructor.New({});
		data.pending = nullptr;
		return object;
	} catch (...) {
		data.pending = nullptr;
		throw;
	}
}

/* What wrap() was given; a TypeError when JavaScript called the constructor itself. */
template <class State> State take_pending(const Napi::CallbackInfo &info)
{
	AddonData &data = addon_data(info.Env());
	if (data.pending == nullptr)
		throw Napi::TypeError::New(info.Env(), "Illegal constructor");
	State *state = static_cast<State *>(data.pending);
	data.pending = nullptr;
	return std::move(*state);
}

} // namespace plainsight

#endif
