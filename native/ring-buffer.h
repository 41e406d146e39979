/*
 * The class RingBuffer: maps a BPF ring buffer and copies its records into one batch. It is the only reader of the ring;
 * two of them on one map take each other's records. It knows one thing of a record: that its first u32 is the number of
 * bytes used of it.
 *
 * Every mapped page counts as resident, 16 MiB for a ring of 16 MiB (twice that with the double mapping that the kernel
 * offers against wrapping). So of the data only a window is mapped, and moved when the reader leaves it; a record that
 * goes over its end, or over that of the ring, is copied in parts.
 */
#ifndef PLAINSIGHT_RING_BUFFER_H
#define PLAINSIGHT_RING_BUFFER_H

#include <napi.h>
#include <cstdint>
#include <string>

#include "unique-fd.h"

namespace plainsight
{

class RingBuffer : public Napi::ObjectWrap<RingBuffer>
{
public:
	struct State {
		uint32_t ring_bytes = 0;
		uint32_t batch_bytes = 0;
		int map_fd = -1;
		std::string map_name;
	};

	static void define(Napi::Env env);
	/* openRingBuffer(map, batchBytes) */
	static Napi::Value open(const Napi::CallbackInfo &info);
	explicit RingBuffer(const Napi::CallbackInfo &info);
	~RingBuffer() override { unmap(); }

private:
	Napi::Value drain(const Napi::CallbackInfo &info);
	Napi::Value pending_bytes(const Napi::CallbackInfo &info);
	Napi::Value dropped(const Napi::CallbackInfo &info);
	void close(const Napi::CallbackInfo &info);

	void opened(Napi::Env env) const;
	int map(int fd);
	const uint8_t *at(uint64_t position);
	size_t copy_record(uint64_t position, uint32_t length, uint8_t *to, size_t room);
	bool copy_out(uint64_t position, uint8_t *to, size_t length);
	void unmap() noexcept;

	// SAFETY: one page each, the first of them written too; nullptr when closed. window_ is window_bytes_ of the data,
	// beginning at a multiple of that; at() is the only one to use it, and may replace it.
	uint64_t *consumer_ = nullptr;
	const uint64_t *producer_ = nullptr;
	const uint8_t *window_ = nullptr;
	size_t window_start_ = 0;
	size_t window_bytes_ = 0;
	UniqueFd fd_;
	int window_error_ = 0;
	std::string map_name_;
	size_t page_bytes_ = 0;
	uint32_t ring_bytes_ = 0;
	uint32_t batch_bytes_ = 0;
	uint64_t dropped_ = 0;
	Napi::Reference<Napi::Uint8Array> batch_;
};

} // namespace plainsight

#endif
