/* A file descriptor that is closed when its owner goes. */
#ifndef PLAINSIGHT_UNIQUE_FD_H
#define PLAINSIGHT_UNIQUE_FD_H

#include <unistd.h>
#include <utility>

namespace plainsight
{

class UniqueFd
{
public:
	explicit UniqueFd(int fd = -1) noexcept : fd_(fd) {}
	UniqueFd(UniqueFd &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
	UniqueFd &operator=(UniqueFd &&other) noexcept
	{
		std::swap(fd_, other.fd_);
		return *this;
	}
	UniqueFd(const UniqueFd &) = delete;
	UniqueFd &operator=(const UniqueFd &) = delete;
	~UniqueFd() { reset(); }

	int get() const noexcept { return fd_; }
	explicit operator bool() const noexcept { return fd_ >= 0; }
	void reset() noexcept
	{
		if (fd_ >= 0)
			::close(std::exchange(fd_, -1));
	}

private:
	int fd_;
};

} // namespace plainsight

#endif
