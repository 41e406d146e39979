/*
 * Gives back what lies mapped of files and was needed once: the start of Node.js touches most of its own file, and the kernel maps
 * 16 pages for each that is touched. What is still in use comes back by minor faults, from the page cache.
 *
 * Only mappings of this process that are private, of a file and not writable, and in them only pages that are the file's own: a
 * copy (a relocation that has become read-only, the breakpoint of a uprobe) stays where it is. A mapping that cannot be read or
 * advised is left alone.
 */
#ifndef PLAINSIGHT_FILE_PAGES_H
#define PLAINSIGHT_FILE_PAGES_H

#include <cstddef>

namespace plainsight
{

/* Returns how many bytes were mapped and are no longer. */
size_t release_file_pages();

} // namespace plainsight

#endif
