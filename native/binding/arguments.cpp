// Checked conversion of JavaScript values.
#include "arguments.h"

#include <cmath>
#include <cstdio>

namespace t2::binding {

/// A short text for a value in a message; never runs user code.
static std::string describe(const Napi::Value& value) {
  if (value.IsEmpty() || value.IsUndefined()) return "undefined";
  if (value.IsNull()) return "null";
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value() ? "true" : "false";
  if (value.IsNumber()) {
    char text[32];
    std::snprintf(text, sizeof text, "%.17g", value.As<Napi::Number>().DoubleValue());
    return text;
  }
  if (value.IsString()) {
    std::string text = value.As<Napi::String>().Utf8Value();
    return "\"" + (text.size() > 80 ? text.substr(0, 80) + "…" : text) + "\"";
  }
  if (value.IsTypedArray()) return "a typed array of " + std::to_string(value.As<Napi::TypedArray>().ElementLength()) + " elements";
  if (value.IsArray()) return "an array";
  if (value.IsFunction()) return "a function";
  if (value.IsExternal()) return "a handle";
  return value.IsObject() ? "an object" : "a value of another type";
}

void argument::reject(const std::string& expected) const {
  std::string actual = describe(value_);
  throw t2::error(
      "ERR_T2_INVALID_OPTION", "Argument \"" + path_ + "\" must be " + expected + ", but is " + actual + ".",
      "{\"option\":" + json_string(path_) + ",\"expected\":" + json_string(expected) + ",\"actual\":" + json_string(actual) + "}");
}

bool argument::boolean() const {
  if (!value_.IsBoolean()) reject("a boolean");
  return value_.As<Napi::Boolean>().Value();
}

static std::string text_of(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.16g", x);
  return text;
}

double argument::number(double low, double high) const {
  double x = value_.IsNumber() ? value_.As<Napi::Number>().DoubleValue() : NAN;
  if (!(x >= low && x <= high)) reject("a number from " + text_of(low) + " to " + text_of(high));
  return x;
}

int64_t argument::integer(int64_t low, int64_t high) const {
  double x = value_.IsNumber() ? value_.As<Napi::Number>().DoubleValue() : NAN;
  if (!(x >= double(low) && x <= double(high)) || x != std::floor(x))
    reject("an integer from " + std::to_string(low) + " to " + std::to_string(high));
  return int64_t(x);
}

std::string argument::string() const {
  if (!value_.IsString()) reject("a string");
  return value_.As<Napi::String>().Utf8Value();
}

Napi::Function argument::function() const {
  if (!value_.IsFunction()) reject("a function");
  return value_.As<Napi::Function>();
}

template <class T>
std::vector<T> argument::copy_array(napi_typedarray_type type, const char* expected) const {
  if (!value_.IsTypedArray()) reject(expected);
  // The raw call: it gives the data pointer as it is now, null for a detached buffer.
  napi_typedarray_type actual;
  size_t length = 0;
  void* data = nullptr;
  napi_status status = napi_get_typedarray_info(env(), value_, &actual, &length, &data, nullptr, nullptr);
  if (status != napi_ok || actual != type) reject(expected);
  if (!data || !length) return {};
  const T* from = static_cast<const T*>(data);
  return std::vector<T>(from, from + length);
}

std::vector<float> argument::floats() const { return copy_array<float>(napi_float32_array, "a Float32Array"); }
std::vector<int32_t> argument::int32s() const { return copy_array<int32_t>(napi_int32_array, "an Int32Array"); }
std::vector<uint16_t> argument::uint16s() const { return copy_array<uint16_t>(napi_uint16_array, "a Uint16Array"); }

std::vector<int32_t> argument::tokens(int vocabulary, bool may_be_empty) const {
  std::vector<int32_t> ids = int32s();
  if (ids.empty() && !may_be_empty) reject("an Int32Array with at least one token id");
  for (size_t i = 0; i < ids.size(); i++) {
    if (ids[i] < 0 || ids[i] >= vocabulary) {
      Napi::Value id = Napi::Number::New(env(), ids[i]);
      argument(id, path_ + "[" + std::to_string(i) + "]").reject("a token id from 0 to " + std::to_string(vocabulary - 1));
    }
  }
  return ids;
}

argument argument::operator[](const char* key) const {
  if (!value_.IsObject()) reject("an object");
  return argument(value_.As<Napi::Object>().Get(key), path_.empty() ? key : path_ + "." + key);
}

void argument::each(const std::function<void(const argument&)>& take) const {
  if (!value_.IsArray()) reject("an array");
  Napi::Array list = value_.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) {
    Napi::HandleScope scope(env());
    take(argument(list.Get(i), path_ + "[" + std::to_string(i) + "]"));
  }
}

void argument::each_property(const std::function<void(const std::string& key, const argument&)>& take) const {
  if (!value_.IsObject() || value_.IsArray() || value_.IsTypedArray() || value_.IsFunction() || value_.IsExternal()) reject("an object");
  Napi::Object object = value_.As<Napi::Object>();
  Napi::Array keys = object.GetPropertyNames();
  for (uint32_t i = 0; i < keys.Length(); i++) {
    Napi::HandleScope scope(env());
    Napi::Value key = keys.Get(i);
    std::string name = key.ToString().Utf8Value();
    if (!object.HasOwnProperty(name)) continue;
    take(name, argument(object.Get(key), path_.empty() ? name : path_ + "[\"" + name + "\"]"));
  }
}

std::vector<std::string> argument::strings() const {
  std::vector<std::string> out;
  each([&](const argument& item) { out.push_back(item.string()); });
  return out;
}

}  // namespace t2::binding
