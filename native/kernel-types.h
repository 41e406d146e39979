/*
 * The types (BTF) of the running kernel, which libbpf would read and index anew for each object and each look: some 140,000
 * types, 50 ms, 7 MB. Here the first look reads them, and they stay until they are forgotten. So libbpf's two functions are
 * replaced as the linker's --wrap does it (binding.gyp).
 */
#ifndef PLAINSIGHT_KERNEL_TYPES_H
#define PLAINSIGHT_KERNEL_TYPES_H

namespace plainsight
{

/* No pointer to them may be in use; the next look reads them again. */
void forget_kernel_types();

} // namespace plainsight

#endif
