/*
 * The class BpfObject: loads a BPF object file, attaches its programs, gives its maps. Programs are named by their
 * function, or by their section where only one program has it.
 */
#ifndef PLAINSIGHT_BPF_OBJECT_H
#define PLAINSIGHT_BPF_OBJECT_H

#include <napi.h>
#include <memory>

#include "loaded-object.h"

namespace plainsight
{

class BpfObject : public Napi::ObjectWrap<BpfObject>
{
public:
	struct State {
		std::shared_ptr<LoadedObject> object;
	};

	static void define(Napi::Env env);
	/* openObject(path, options) */
	static Napi::Value open(const Napi::CallbackInfo &info);
	explicit BpfObject(const Napi::CallbackInfo &info);

private:
	Napi::Value map(const Napi::CallbackInfo &info);
	Napi::Value attach(const Napi::CallbackInfo &info);
	Napi::Value attach_uprobes(const Napi::CallbackInfo &info);
	/* iterate(program, map?): runs an iterator program once, over its map where it needs one. */
	void iterate(const Napi::CallbackInfo &info);
	/* misses(program): runs that the kernel skipped. */
	Napi::Value misses(const Napi::CallbackInfo &info);
	void close(const Napi::CallbackInfo &info);

	LoadedObject &opened(Napi::Env env) const;
	bpf_program *loaded_program(Napi::Env env, const std::string &name) const;
	Napi::Value linked(Napi::Env env, std::shared_ptr<Attachment> attachment);

	State state_;
};

} // namespace plainsight

#endif
