/* The class Link. */
#include "link.h"

#include "addon-data.h"
#include "log.h"

namespace plainsight
{

void Link::define(Napi::Env env)
{
	addon_data(env).link = Napi::Persistent(
		DefineClass(env, "Link", {InstanceMethod<&Link::close>("close", napi_default_method)}));
}

Link::Link(const Napi::CallbackInfo &info) : ObjectWrap(info), state_(take_pending<State>(info)) {}

void Link::close(const Napi::CallbackInfo &info)
{
	// Taken first: the log callback may call close() again.
	State state = std::move(state_);
	state_ = {};
	if (state.attachment == nullptr)
		return;
	LogScope log(info.Env());
	state.object->detach(state.attachment);
}

} // namespace plainsight
