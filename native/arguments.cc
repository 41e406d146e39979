/* Checks of what JavaScript passed in. */
#include "arguments.h"

#include <cmath>

namespace plainsight
{

namespace
{

Napi::TypeError wrong_type(Napi::Env env, const char *name, const std::string &wanted)
{
	return Napi::TypeError::New(env, std::string(name) + " must be " + wanted);
}

} // namespace

std::string text_argument(Napi::Value value, const char *name)
{
	if (!value.IsString())
		throw wrong_type(value.Env(), name, "a string");
	std::string text = value.As<Napi::String>().Utf8Value();
	if (text.empty() || text.find('\0') != std::string::npos)
		throw wrong_type(value.Env(), name, "a string that is not empty and has no NUL");
	return text;
}

uint32_t integer_argument(Napi::Value value, const char *name, uint32_t minimum, uint32_t maximum)
{
	if (!value.IsNumber())
		throw wrong_type(value.Env(), name, "a number");
	double number = value.As<Napi::Number>().DoubleValue();
	if (!(number >= minimum && number <= maximum) || number != std::floor(number))
		throw Napi::RangeError::New(value.Env(), std::string(name) + " must be an integer of " +
								 std::to_string(minimum) + ".." +
								 std::to_string(maximum));
	return static_cast<uint32_t>(number);
}

bool boolean_argument(Napi::Value value, const char *name)
{
	if (!value.IsBoolean())
		throw wrong_type(value.Env(), name, "a boolean");
	return value.As<Napi::Boolean>().Value();
}

Napi::Object object_argument(Napi::Value value, const char *name)
{
	if (!value.IsObject())
		throw wrong_type(value.Env(), name, "an object");
	return value.As<Napi::Object>();
}

Napi::Array array_argument(Napi::Value value, const char *name)
{
	if (!value.IsArray())
		throw wrong_type(value.Env(), name, "an array");
	return value.As<Napi::Array>();
}

uint8_t *room_argument(Napi::Value value, const char *name, size_t length)
{
	std::string wanted = "a Uint8Array of " + std::to_string(length) + " bytes";
	if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
		throw wrong_type(value.Env(), name, wanted);
	Napi::Uint8Array bytes = value.As<Napi::Uint8Array>();
	if (bytes.ByteLength() != length)
		throw wrong_type(value.Env(), name, wanted + ", not " + std::to_string(bytes.ByteLength()));
	return bytes.Data();
}

const uint8_t *bytes_argument(Napi::Value value, const char *name, size_t length)
{
	return room_argument(value, name, length);
}

std::vector<uint64_t> u64s_argument(Napi::Value value, const char *name, size_t maximum)
{
	if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_biguint64_array)
		throw wrong_type(value.Env(), name, "a BigUint64Array");
	Napi::BigUint64Array numbers = value.As<Napi::BigUint64Array>();
	if (numbers.ElementLength() == 0 || numbers.ElementLength() > maximum)
		throw Napi::RangeError::New(value.Env(), std::string(name) + " must have 1.." +
								 std::to_string(maximum) + " elements");
	return std::vector<uint64_t>(numbers.Data(), numbers.Data() + numbers.ElementLength());
}

} // namespace plainsight
