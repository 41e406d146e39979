/*
 * libbpf's messages of one call. They are kept while libbpf works and handed to JavaScript when the call has finished:
 * a callback that throws or closes the object cannot meet it half-built. The last warnings go into errors.
 *
 * Limits: 1,024 messages or 256 KiB per call, 4 KiB of each message (its end, where a verifier log says what is wrong)
 * and 4 KiB of warnings for the error. What is left out is said in a last message.
 */
#ifndef PLAINSIGHT_LOG_H
#define PLAINSIGHT_LOG_H

#include <bpf/libbpf.h>
#include <napi.h>
#include <cstdarg>
#include <string>
#include <vector>

namespace plainsight
{

class LogScope
{
public:
	explicit LogScope(Napi::Env env);
	~LogScope();
	LogScope(const LogScope &) = delete;
	LogScope &operator=(const LogScope &) = delete;

	/* The last whole lines of the warnings so far. */
	std::string warnings() const;

	/* Makes libbpf report to the scope of the calling thread; without a scope its messages go nowhere. */
	static void install();

private:
	struct Message {
		libbpf_print_level level;
		std::string text;
	};

	__attribute__((format(printf, 2, 0))) static int print(libbpf_print_level level, const char *format,
							       va_list arguments);
	__attribute__((format(printf, 3, 0))) void add(libbpf_print_level level, const char *format, va_list arguments);
	void deliver();

	Napi::Env env_;
	LogScope *outer_;
	bool wanted_;
	std::vector<Message> messages_;
	size_t messages_bytes_ = 0;
	size_t left_out_ = 0;
	std::string warnings_;

	// SAFETY: libbpf prints on the thread that calls it, and scopes live on that thread's stack.
	static thread_local LogScope *current_;
};

} // namespace plainsight

#endif
