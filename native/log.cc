/* Collects libbpf's messages; log.h says how they come out. */
#include "log.h"

#include <cstdio>

#include "addon-data.h"

// What libbpf.a takes for stderr (binding.gyp says why). Only its own print function uses it, which is replaced before
// libbpf does anything.
extern "C" {
extern FILE *__real_stderr;
__attribute__((visibility("hidden"))) FILE *__wrap_stderr = nullptr;
}

namespace plainsight
{

namespace
{

constexpr size_t MAX_MESSAGES = 1024;
constexpr size_t MAX_MESSAGES_BYTES = 256 * 1024;
constexpr size_t MAX_MESSAGE_BYTES = 4096;
constexpr size_t MAX_WARNINGS_BYTES = 4096;
/* libbpf asks the kernel for at most 16 MiB of verifier log (BPF_LOG_BUF_SIZE, v1.1) and prints it as one message. */
constexpr size_t MAX_FORMATTED_BYTES = 17 * 1024 * 1024;

void keep_end(std::string &text, size_t limit)
{
	if (text.size() <= limit)
		return;
	text.erase(0, text.size() - limit);
	size_t line = text.find('\n');
	if (line != std::string::npos && line + 1 < text.size())
		text.erase(0, line + 1);
}

const char *level_name(libbpf_print_level level)
{
	switch (level) {
	case LIBBPF_WARN:
		return "warn";
	case LIBBPF_INFO:
		return "info";
	default:
		return "debug";
	}
}

} // namespace

thread_local LogScope *LogScope::current_ = nullptr;

LogScope::LogScope(Napi::Env env) : env_(env), outer_(current_)
{
	const AddonData &data = addon_data(env);
	wanted_ = !data.log.IsEmpty() && !data.delivering_log;
	current_ = this;
}

LogScope::~LogScope()
{
	current_ = outer_;
	if (!messages_.empty())
		deliver();
}

void LogScope::install()
{
	libbpf_set_print(print);
}

std::string LogScope::warnings() const
{
	return warnings_;
}

int LogScope::print(libbpf_print_level level, const char *format, va_list arguments)
{
	if (current_ != nullptr && (current_->wanted_ || level == LIBBPF_WARN))
		current_->add(level, format, arguments);
	return 0;
}

void LogScope::add(libbpf_print_level level, const char *format, va_list arguments)
{
	va_list counted;
	va_copy(counted, arguments);
	int length = vsnprintf(nullptr, 0, format, counted);
	va_end(counted);
	if (length <= 0 || static_cast<size_t>(length) > MAX_FORMATTED_BYTES)
		return;
	std::string text(static_cast<size_t>(length) + 1, '\0');
	vsnprintf(text.data(), text.size(), format, arguments);
	text.pop_back();
	keep_end(text, MAX_MESSAGE_BYTES);
	if (level == LIBBPF_WARN) {
		warnings_ += text;
		keep_end(warnings_, MAX_WARNINGS_BYTES);
	}
	if (!wanted_)
		return;
	while (!text.empty() && text.back() == '\n')
		text.pop_back();
	if (messages_.size() >= MAX_MESSAGES || messages_bytes_ + text.size() > MAX_MESSAGES_BYTES) {
		left_out_++;
		return;
	}
	messages_bytes_ += text.size();
	messages_.push_back({level, std::move(text)});
}

void LogScope::deliver()
{
	AddonData &data = addon_data(env_);
	if (left_out_ > 0)
		messages_.push_back(
			{LIBBPF_WARN, std::to_string(left_out_) + " more messages of this call are left out"});
	Napi::HandleScope scope(env_);
	data.delivering_log = true;
	for (const Message &message : messages_) {
		// The callback may have removed itself.
		if (data.log.IsEmpty())
			break;
		try {
			data.log.Call({Napi::String::New(env_, level_name(message.level)),
				       Napi::String::New(env_, message.text)});
		} catch (const Napi::Error &error) {
			// A failing callback must neither undo nor hide the result of the call: it is an uncaught
			// exception of its own.
			napi_fatal_exception(env_, error.Value());
		} catch (...) {
			break;
		}
	}
	data.delivering_log = false;
}

} // namespace plainsight
