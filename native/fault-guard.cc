/* The SIGBUS handler; fault-guard.h says what for. */
#include "fault-guard.h"

#include <sys/mman.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>

namespace plainsight
{

namespace
{

struct Guard {
	std::atomic<uintptr_t> start{0}; /* 0: free */
	std::atomic<uintptr_t> end{0};
	std::atomic<bool> faulted{false};
};
static_assert(std::atomic<uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

// SAFETY: written under `writing` by any thread, read without it by the handler. `start` is published last and cleared
// first. A mapping is read by the thread that made it and no other (its ArrayBuffer cannot be transferred), so the
// handler never looks for a mapping that another thread is removing; reading `start` twice keeps it from taking the end
// of a guard that is being reused.
Guard guards[MAX_GUARDED];
std::mutex writing;
bool installed = false;
struct sigaction previous;
uintptr_t page_bytes;

Guard *find_guard(uintptr_t address)
{
	for (Guard &guard : guards) {
		uintptr_t start = guard.start.load(std::memory_order_acquire);
		if (start == 0 || address < start)
			continue;
		uintptr_t end = guard.end.load(std::memory_order_acquire);
		if (address < end && guard.start.load(std::memory_order_acquire) == start)
			return &guard;
	}
	return nullptr;
}

void call_previous(int signal, siginfo_t *info, void *context)
{
	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(signal, info, context);
		return;
	}
	if (previous.sa_handler == SIG_IGN && info->si_code <= 0)
		return; // sent by a process, which a fault is not
	if (previous.sa_handler != SIG_IGN && previous.sa_handler != SIG_DFL) {
		previous.sa_handler(signal);
		return;
	}
	// Blocked until the handler returns; then the process ends, with its core where the fault was.
	struct sigaction standard = {};
	standard.sa_handler = SIG_DFL;
	sigaction(signal, &standard, nullptr);
	raise(signal);
}

// SAFETY: async-signal-safe: lock-free atomics, the bare system calls mmap and sigaction, raise. errno is restored.
void handle(int signal, siginfo_t *info, void *context)
{
	int saved_errno = errno;
	uintptr_t address = reinterpret_cast<uintptr_t>(info->si_addr);
	Guard *guard = info->si_code == BUS_ADRERR ? find_guard(address) : nullptr;
	if (guard != nullptr) {
		// To the end of the mapping, not one page: what lies behind has gone too, and a large file replaced
		// page by page would end at vm.max_map_count.
		uintptr_t page = address / page_bytes * page_bytes;
		uintptr_t end = (guard->end.load(std::memory_order_acquire) + page_bytes - 1) / page_bytes * page_bytes;
		void *zeros = mmap(reinterpret_cast<void *>(page), end - page, PROT_READ,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
		if (zeros != MAP_FAILED) {
			guard->faulted.store(true, std::memory_order_release);
			errno = saved_errno;
			return;
		}
	}
	call_previous(signal, info, context);
	errno = saved_errno;
}

int install()
{
	if (installed)
		return 0;
	page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
	struct sigaction action = {};
	action.sa_sigaction = handle;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	// Read before the handler stands, so that it never sees it half-written.
	if (sigaction(SIGBUS, nullptr, &previous) < 0 || sigaction(SIGBUS, &action, nullptr) < 0)
		return -errno;
	installed = true;
	return 0;
}

} // namespace

int guard_add(void *start, size_t length)
{
	std::lock_guard<std::mutex> lock(writing);
	int error = install();
	if (error < 0)
		return error;
	for (int i = 0; i < MAX_GUARDED; i++) {
		Guard &guard = guards[i];
		if (guard.start.load(std::memory_order_relaxed) != 0)
			continue;
		guard.faulted.store(false, std::memory_order_relaxed);
		guard.end.store(reinterpret_cast<uintptr_t>(start) + length, std::memory_order_release);
		guard.start.store(reinterpret_cast<uintptr_t>(start), std::memory_order_release);
		return i;
	}
	return -EMFILE;
}

bool guard_faulted(int guard)
{
	return guards[guard].faulted.load(std::memory_order_acquire);
}

void guard_remove(int guard)
{
	std::lock_guard<std::mutex> lock(writing);
	guards[guard].start.store(0, std::memory_order_release);
}

} // namespace plainsight
