/*
 * The native addon: libbpf, the ring buffer and mmap for JavaScript. It knows no protocol. native.ts is its only user,
 * and the description of what it exports.
 */
#include <bpf/libbpf.h>
#include <malloc.h>
#include <napi.h>

#include "addon-data.h"
#include "bpf-map.h"
#include "bpf-object.h"
#include "features.h"
#include "file-pages.h"
#include "kernel-types.h"
#include "link.h"
#include "log.h"
#include "mapped-file.h"
#include "ring-buffer.h"

namespace plainsight
{

namespace
{

/* setErrorClass(class): what errors are made of, `new class(code, message, { errno })`. */
void set_error_class(const Napi::CallbackInfo &info)
{
	if (!info[0].IsFunction())
		throw Napi::TypeError::New(info.Env(), "errorClass must be a class");
	addon_data(info.Env()).error_class = Napi::Persistent(info[0].As<Napi::Function>());
}

/* setLog(callback | undefined) */
void set_log(const Napi::CallbackInfo &info)
{
	Napi::FunctionReference &log = addon_data(info.Env()).log;
	if (info[0].IsUndefined())
		log.Reset();
	else if (info[0].IsFunction())
		log = Napi::Persistent(info[0].As<Napi::Function>());
	else
		throw Napi::TypeError::New(info.Env(), "callback must be a function or undefined");
}

/* trimMemory(): what the load of objects needed, which is the kernel's types and what malloc keeps */
void trim_memory(const Napi::CallbackInfo &)
{
	forget_kernel_types();
	malloc_trim(0);
}

/* releaseFilePages(): bytes */
Napi::Value release_file_pages_of(const Napi::CallbackInfo &info)
{
	return Napi::Number::New(info.Env(), static_cast<double>(release_file_pages()));
}

Napi::Object initialize(Napi::Env env, Napi::Object exports)
{
	env.SetInstanceData(new AddonData());
	LogScope::install();
	BpfObject::define(env);
	BpfMap::define(env);
	Link::define(env);
	RingBuffer::define(env);
	MappedFile::define(env);
	// "v1.1" -> "1.1"
	exports.Set("libbpfVersion", libbpf_version_string() + 1);
	exports.Set("openObject", Napi::Function::New<BpfObject::open>(env, "openObject"));
	exports.Set("openRingBuffer", Napi::Function::New<RingBuffer::open>(env, "openRingBuffer"));
	exports.Set("mapFile", Napi::Function::New<MappedFile::open>(env, "mapFile"));
	exports.Set("probeFeature", Napi::Function::New<probe_feature>(env, "probeFeature"));
	exports.Set("setLog", Napi::Function::New<set_log>(env, "setLog"));
	exports.Set("trimMemory", Napi::Function::New<trim_memory>(env, "trimMemory"));
	exports.Set("releaseFilePages", Napi::Function::New<release_file_pages_of>(env, "releaseFilePages"));
	exports.Set("setErrorClass", Napi::Function::New<set_error_class>(env, "setErrorClass"));
	return exports;
}

} // namespace

} // namespace plainsight

static Napi::Object initialize(Napi::Env env, Napi::Object exports)
{
	return plainsight::initialize(env, exports);
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, initialize)
