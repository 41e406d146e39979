/*
 * Keeps the process alive when a mapped file is truncated: reading a page that has gone raises SIGBUS, and the handler
 * puts zeros there. Mappings that are not registered fault as before. At most 64 mappings at a time.
 *
 * An I/O error of the disk raises the same signal and so reads as a truncation too.
 */
#ifndef PLAINSIGHT_FAULT_GUARD_H
#define PLAINSIGHT_FAULT_GUARD_H

#include <cstddef>

namespace plainsight
{

constexpr int MAX_GUARDED = 64;

/* Installs the handler at the first call, which stays. Returns the number of the guard, or -errno. */
int guard_add(void *start, size_t length);

/* True once zeros were put into the mapping. */
bool guard_faulted(int guard);

/* To be called before the mapping goes. */
void guard_remove(int guard);

} // namespace plainsight

#endif
