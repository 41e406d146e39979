/* Detaches what a Link stands for. */
#include "attachment.h"

#include <atomic>
#include <system_error>
#include <thread>

namespace plainsight
{

void Attachment::close() noexcept
{
	for (bpf_link *link : links_)
		bpf_link__destroy(link);
	links_.clear();
	fd_.reset();
}

void Attachment::close_all(const std::vector<std::shared_ptr<Attachment>> &attachments) noexcept
{
	/* They only sleep; more would not make the grace periods shorter. */
	constexpr size_t MAX_THREADS = 16;
	std::atomic<size_t> next{0};
	// SAFETY: each thread takes attachments that no other takes, and all are joined before this returns.
	auto work = [&attachments, &next] {
		for (size_t i = next++; i < attachments.size(); i = next++)
			attachments[i]->close();
	};
	std::thread threads[MAX_THREADS];
	size_t started = 0;
	try {
		while (started < MAX_THREADS && started + 1 < attachments.size()) {
			threads[started] = std::thread(work);
			started++;
		}
	} catch (const std::system_error &) {
		// No more threads to be had: the others and this one do it.
	}
	work();
	for (size_t i = 0; i < started; i++)
		threads[i].join();
}

} // namespace plainsight
