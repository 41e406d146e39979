/*
 * Tries kernel features, each with one small load or attach that is undone at once. Nothing is concluded from the
 * kernel's version. Uprobes are tried on an empty file in memory that no process maps.
 */
#ifndef PLAINSIGHT_FEATURES_H
#define PLAINSIGHT_FEATURES_H

#include <napi.h>

namespace plainsight
{

/* probeFeature(feature) */
Napi::Value probe_feature(const Napi::CallbackInfo &info);

} // namespace plainsight

#endif
