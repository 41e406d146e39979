/*
 * The class Link: one attachment. The object it came from owns the attachment, so a Link that is collected without
 * close() detaches nothing by itself; it keeps the object loaded.
 */
#ifndef PLAINSIGHT_LINK_H
#define PLAINSIGHT_LINK_H

#include <napi.h>
#include <memory>

#include "loaded-object.h"

namespace plainsight
{

class Link : public Napi::ObjectWrap<Link>
{
public:
	struct State {
		std::shared_ptr<LoadedObject> object;
		std::shared_ptr<Attachment> attachment;
	};

	static void define(Napi::Env env);
	explicit Link(const Napi::CallbackInfo &info);

private:
	void close(const Napi::CallbackInfo &info);

	State state_;
};

} // namespace plainsight

#endif
