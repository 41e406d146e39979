#include "file-pages.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "unique-fd.h"

namespace plainsight
{

namespace
{

/* Documentation/admin-guide/mm/pagemap.rst */
constexpr uint64_t PAGE_OF_FILE = 1ull << 61;
constexpr uint64_t PAGE_PRESENT = 1ull << 63;
/* include/uapi/asm-generic/mman-common.h, Linux 5.4 */
constexpr int ADVICE_COLD = 20;
/* 2 MiB of addresses to a read. */
constexpr size_t PAGES_AT_ONCE = 512;

struct Range {
	uintptr_t start;
	uintptr_t end;
};

std::vector<Range> read_only_mappings()
{
	std::vector<Range> ranges;
	FILE *maps = fopen("/proc/self/maps", "re");
	if (!maps)
		return ranges;
	char line[512];
	bool is_start = true;
	while (fgets(line, sizeof(line), maps)) {
		/* A long path comes in pieces, of which the first is the line's. */
		bool whole = strchr(line, '\n') != nullptr;
		unsigned long start, end, inode;
		char mode[5];
		if (is_start && sscanf(line, "%lx-%lx %4s %*x %*s %lu", &start, &end, mode, &inode) == 4 &&
		    inode != 0 && mode[0] == 'r' && mode[1] == '-' && mode[3] == 'p')
			ranges.push_back({start, end});
		is_start = whole;
	}
	fclose(maps);
	return ranges;
}

bool release(uintptr_t start, size_t length)
{
	// SAFETY: the range is of a private mapping that nobody can write through, and holds no page of its own: what is
	// read there next is read from the file, as it would be now.
	void *address = reinterpret_cast<void *>(start);
	// Without it the kernel takes a page that is unmapped for one that was just used, and keeps it longest.
	madvise(address, length, ADVICE_COLD);
	return madvise(address, length, MADV_DONTNEED) == 0;
}

size_t release_range(int pagemap, const Range &range, size_t page_size)
{
	uint64_t pages[PAGES_AT_ONCE];
	size_t released = 0;
	for (uintptr_t at = range.start; at < range.end;) {
		size_t wanted = std::min(PAGES_AT_ONCE, (range.end - at) / page_size);
		ssize_t bytes = pread(pagemap, pages, wanted * sizeof(pages[0]),
				      static_cast<off_t>(at / page_size * sizeof(pages[0])));
		if (bytes < static_cast<ssize_t>(sizeof(pages[0])))
			break;
		size_t count = static_cast<size_t>(bytes) / sizeof(pages[0]);
		for (size_t i = 0; i < count;) {
			size_t run = i;
			while (run < count && (pages[run] & PAGE_PRESENT) && (pages[run] & PAGE_OF_FILE))
				run++;
			if (run > i && release(at + i * page_size, (run - i) * page_size))
				released += (run - i) * page_size;
			i = run + 1;
		}
		at += count * page_size;
	}
	return released;
}

} // namespace

size_t release_file_pages()
{
	UniqueFd pagemap(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	if (!pagemap)
		return 0;
	size_t page_size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
	size_t released = 0;
	for (const Range &range : read_only_mappings())
		released += release_range(pagemap.get(), range, page_size);
	return released;
}

} // namespace plainsight
