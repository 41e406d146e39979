/*
 * The class RingBuffer. The layout of the mapping and of the records is that of kernel/bpf/ringbuf.c, v5.8, and has not
 * changed: a page with the consumer position, a page with the producer position, the data; positions only grow; a record
 * is an 8-byte header (u32 length with two flag bits, u32 page offset) and its bytes, at a multiple of 8.
 */
#include "ring-buffer.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "addon-data.h"
#include "arguments.h"
#include "bpf-map.h"
#include "errors.h"

namespace plainsight
{

namespace
{

constexpr uint32_t MIN_BATCH_BYTES = 64 * 1024;
constexpr uint32_t MAX_BATCH_BYTES = 64 * 1024 * 1024;
constexpr uint32_t MIN_RECORD_BYTES = 8;
/* Moving it costs two system calls, about 30 us: 0.1 % of a CPU at 10 MB/s. */
constexpr uint32_t WINDOW_BYTES = 256 * 1024;

/* The kernel's positions are unsigned long; only 64-bit kernels run the agent. */
static_assert(sizeof(unsigned long) == sizeof(uint64_t));

constexpr uint64_t round_up(uint64_t number)
{
	return (number + 7) / 8 * 8;
}

} // namespace

void RingBuffer::define(Napi::Env env)
{
	addon_data(env).ring_buffer = Napi::Persistent(
		DefineClass(env, "RingBuffer",
			    {InstanceMethod<&RingBuffer::drain>("drain", napi_default_method),
			     InstanceMethod<&RingBuffer::pending_bytes>("pendingBytes", napi_default_method),
			     InstanceMethod<&RingBuffer::dropped>("dropped", napi_default_method),
			     InstanceMethod<&RingBuffer::close>("close", napi_default_method)}));
}

Napi::Value RingBuffer::open(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	uint32_t batch_bytes = integer_argument(info[1], "batchBytes", MIN_BATCH_BYTES, MAX_BATCH_BYTES);
	std::shared_ptr<MapInfo> map = BpfMap::from(info[0], "map");
	if (map->type != BPF_MAP_TYPE_RINGBUF)
		throw Napi::TypeError::New(env, "map must be a ring buffer, which " + map->name + " is not");
	return wrap(env, addon_data(env).ring_buffer, State{map->max_entries, batch_bytes / 8 * 8, map->fd, map->name});
}

RingBuffer::RingBuffer(const Napi::CallbackInfo &info) : ObjectWrap(info)
{
	Napi::Env env = info.Env();
	State state = take_pending<State>(info);
	ring_bytes_ = state.ring_bytes;
	batch_bytes_ = state.batch_bytes;
	map_name_ = state.map_name;
	Napi::Uint8Array batch = Napi::Uint8Array::New(env, batch_bytes_);
	int error = map(state.map_fd);
	if (error != 0) {
		unmap();
		throw make_error(env, "MAP", error, "ring buffer " + map_name_ + " cannot be mapped",
				 bpf_advice(error));
	}
	batch_ = Napi::Persistent(batch);
	info.This().As<Napi::Object>().DefineProperty(Napi::PropertyDescriptor::Value("batch", batch, napi_enumerable));
}

void RingBuffer::opened(Napi::Env env) const
{
	if (consumer_ == nullptr)
		throw closed_error(env, "the ring buffer");
}

/* Returns 0 or an errno; unmap() undoes what succeeded. */
int RingBuffer::map(int fd)
{
	// The map's object may be closed before the ring.
	fd_ = UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	if (!fd_)
		return errno;
	page_bytes_ = static_cast<size_t>(sysconf(_SC_PAGESIZE));
	void *page = mmap(nullptr, page_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
	if (page == MAP_FAILED)
		return errno;
	consumer_ = static_cast<uint64_t *>(page);
	page = mmap(nullptr, page_bytes_, PROT_READ, MAP_SHARED, fd_.get(), static_cast<off_t>(page_bytes_));
	if (page == MAP_FAILED)
		return errno;
	producer_ = static_cast<const uint64_t *>(page);
	window_bytes_ = std::min(WINDOW_BYTES, ring_bytes_);
	return at(__atomic_load_n(consumer_, __ATOMIC_RELAXED)) == nullptr ? window_error_ : 0;
}

/*
 * The byte at `position`, through the window; what follows it up to the end of the window can be read too. nullptr, with
 * window_error_ set, when the window cannot be moved.
 */
const uint8_t *RingBuffer::at(uint64_t position)
{
	size_t offset = position & (ring_bytes_ - 1);
	size_t start = offset / window_bytes_ * window_bytes_;
	if (window_ == nullptr || start != window_start_) {
		void *window = mmap(nullptr, window_bytes_, PROT_READ, MAP_SHARED, fd_.get(),
				    static_cast<off_t>(2 * page_bytes_ + start));
		if (window == MAP_FAILED) {
			window_error_ = errno;
			return nullptr;
		}
		if (window_ != nullptr)
			munmap(const_cast<uint8_t *>(window_), window_bytes_);
		window_ = static_cast<const uint8_t *>(window);
		window_start_ = start;
	}
	return window_ + (offset - start);
}

bool RingBuffer::copy_out(uint64_t position, uint8_t *to, size_t length)
{
	while (length > 0) {
		const uint8_t *from = at(position);
		if (from == nullptr)
			return false;
		size_t part = std::min<size_t>(length, window_bytes_ - (position & (window_bytes_ - 1)));
		memcpy(to, from, part);
		to += part;
		position += part;
		length -= part;
	}
	return true;
}

/*
 * Copies the record whose bytes are at `position`. Returns what it fills of `to`; 0 when it does not fit, or with
 * window_error_ set.
 */
size_t RingBuffer::copy_record(uint64_t position, uint32_t length, uint8_t *to, size_t room)
{
	const uint8_t *from = at(position);
	if (from == nullptr)
		return 0;
	uint32_t used;
	// SAFETY: records are at multiples of 8, so the first 4 bytes never go over the end of the window.
	memcpy(&used, from, sizeof(used));
	if (used < MIN_RECORD_BYTES || used > length)
		used = length;
	size_t filled = round_up(used);
	if (filled > room)
		return 0;
	memset(to + filled - 8, 0, 8);
	if (!copy_out(position, to, used))
		return 0;
	// Whoever walks the batch relies on it, whatever the program wrote there.
	memcpy(to, &used, sizeof(used));
	return filled;
}

Napi::Value RingBuffer::drain(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	opened(env);
	// SAFETY: asked for at each call, as JavaScript may have transferred the buffer to another thread.
	Napi::Uint8Array batch = batch_.Value();
	if (batch.ByteLength() != batch_bytes_)
		throw make_error(env, "USAGE", EINVAL, "the batch of the ring buffer has been transferred",
				 "copy from it instead");
	uint8_t *to = batch.Data();
	size_t filled = 0;

	uint64_t position = __atomic_load_n(consumer_, __ATOMIC_RELAXED);
	const uint64_t end = __atomic_load_n(producer_, __ATOMIC_ACQUIRE);
	while (position < end) {
		const uint32_t *header = reinterpret_cast<const uint32_t *>(at(position));
		if (header == nullptr)
			break;
		// Acquire: the bytes of the record are read after the busy bit.
		uint32_t flags = __atomic_load_n(header, __ATOMIC_ACQUIRE);
		if (flags & BPF_RINGBUF_BUSY_BIT)
			break;
		uint32_t length = flags & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
		uint64_t next = position + round_up(static_cast<uint64_t>(length) + BPF_RINGBUF_HDR_SZ);
		if (next > end) {
			// Not a ring that the kernel has written: nothing in it can be trusted.
			dropped_++;
			position = end;
			break;
		}
		if (!(flags & BPF_RINGBUF_DISCARD_BIT)) {
			size_t copied = 0;
			if (length >= MIN_RECORD_BYTES)
				copied = copy_record(position + BPF_RINGBUF_HDR_SZ, length, to + filled,
						     batch_bytes_ - filled);
			if (window_error_ != 0)
				break;
			if (copied == 0 && length >= MIN_RECORD_BYTES && filled > 0)
				break; // fits into the next batch, or is dropped there
			if (copied == 0)
				dropped_++;
			filled += copied;
		}
		position = next;
	}
	// Release: the kernel may overwrite what has been copied. Once per batch, as the producers read this line.
	__atomic_store_n(consumer_, position, __ATOMIC_RELEASE);
	// What was copied before is handed over; the next call tries again.
	int error = std::exchange(window_error_, 0);
	if (error != 0 && filled == 0)
		throw make_error(env, "MAP", error, "ring buffer " + map_name_ + " cannot be mapped",
				 bpf_advice(error));
	return Napi::Number::New(env, static_cast<double>(filled));
}

Napi::Value RingBuffer::pending_bytes(const Napi::CallbackInfo &info)
{
	opened(info.Env());
	uint64_t end = __atomic_load_n(producer_, __ATOMIC_ACQUIRE);
	return Napi::Number::New(info.Env(), static_cast<double>(end - __atomic_load_n(consumer_, __ATOMIC_RELAXED)));
}

Napi::Value RingBuffer::dropped(const Napi::CallbackInfo &info)
{
	return Napi::Number::New(info.Env(), static_cast<double>(dropped_));
}

void RingBuffer::close(const Napi::CallbackInfo &)
{
	unmap();
}

void RingBuffer::unmap() noexcept
{
	if (consumer_ != nullptr)
		munmap(consumer_, page_bytes_);
	if (producer_ != nullptr)
		munmap(const_cast<uint64_t *>(producer_), page_bytes_);
	if (window_ != nullptr)
		munmap(const_cast<uint8_t *>(window_), window_bytes_);
	consumer_ = nullptr;
	producer_ = nullptr;
	window_ = nullptr;
	fd_.reset();
}

} // namespace plainsight
