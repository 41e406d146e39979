/*
 * The errors that leave the addon: PlainsightError with `code`, `errno` (always positive) and, after a refused load,
 * `log`. Wrong types are TypeError, numbers out of range are RangeError.
 */
#ifndef PLAINSIGHT_ERRORS_H
#define PLAINSIGHT_ERRORS_H

#include <napi.h>
#include <string>

namespace plainsight
{

/* "EPERM". libbpf's own numbers (4000 and up) and ENOTSUPP have names too. */
std::string errno_name(int error);

/* "EPERM (Operation not permitted)" */
std::string errno_text(int error);

/* What to do when a bpf() or perf_event_open() call was refused; '' when the number says it all. */
std::string bpf_advice(int error);

/* Error of `code`: "<what>: <errno>; <advice>". */
Napi::Error make_error(Napi::Env env, const char *code, int error, const std::string &what, const std::string &advice,
		       const std::string &log = {});

/* A call on something closed: code USAGE, errno EBADF. */
Napi::Error closed_error(Napi::Env env, const std::string &what);

} // namespace plainsight

#endif
