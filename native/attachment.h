/* What one Link stands for: libbpf links, or one link of ours. Closing it detaches. */
#ifndef PLAINSIGHT_ATTACHMENT_H
#define PLAINSIGHT_ATTACHMENT_H

#include <bpf/libbpf.h>
#include <memory>
#include <vector>

#include "unique-fd.h"

namespace plainsight
{

class Attachment
{
public:
	Attachment() = default;
	explicit Attachment(UniqueFd fd) : fd_(std::move(fd)) {}
	Attachment(const Attachment &) = delete;
	Attachment &operator=(const Attachment &) = delete;
	~Attachment() { close(); }

	void reserve(size_t count) { links_.reserve(count); }
	/* Takes the link. Never throws within the reserved count. */
	void add(bpf_link *link) { links_.push_back(link); }
	void close() noexcept;
	/*
	 * Closes many at once. The kernel waits for a grace period for each (tens of milliseconds), and these waits
	 * overlap when the links are closed by several threads: an agent with 50 of them must end within 2 s.
	 */
	static void close_all(const std::vector<std::shared_ptr<Attachment>> &attachments) noexcept;

private:
	// SAFETY: owned, each destroyed once by close(). libbpf's links need their bpf_object no more.
	std::vector<bpf_link *> links_;
	UniqueFd fd_;
};

} // namespace plainsight

#endif
