/* Checks of what JavaScript passed in: a TypeError or RangeError names the argument and what it should be. */
#ifndef PLAINSIGHT_ARGUMENTS_H
#define PLAINSIGHT_ARGUMENTS_H

#include <napi.h>
#include <cstdint>
#include <string>
#include <vector>

namespace plainsight
{

/* A string without NUL bytes and not empty. */
std::string text_argument(Napi::Value value, const char *name);

/* An integer of `minimum`..`maximum`. */
uint32_t integer_argument(Napi::Value value, const char *name, uint32_t minimum, uint32_t maximum);

bool boolean_argument(Napi::Value value, const char *name);

Napi::Object object_argument(Napi::Value value, const char *name);

Napi::Array array_argument(Napi::Value value, const char *name);

/* A view of a Uint8Array of exactly `length` bytes. */
// SAFETY: the pointer is good until JavaScript runs again: no call into JavaScript may stand between this and its use.
const uint8_t *bytes_argument(Napi::Value value, const char *name, size_t length);

/* The same, to be written to. */
uint8_t *room_argument(Napi::Value value, const char *name, size_t length);

/* A copy of a BigUint64Array of 1..`maximum` elements. */
std::vector<uint64_t> u64s_argument(Napi::Value value, const char *name, size_t maximum);

} // namespace plainsight

#endif
