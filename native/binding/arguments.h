// Checked conversion of JavaScript values. Whatever comes in, the answer is a C++ value within its range or ERR_T2_INVALID_OPTION naming
// the argument; typed arrays are copied. JavaScript thread only. Getters may run user code, so nothing is read twice.
#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "errors.h"

namespace t2::binding {

constexpr int64_t max_safe_integer = (int64_t(1) << 53) - 1;
constexpr int64_t max_int32 = INT32_MAX;

/// A value together with the way to it ("rows[3].tokens") for messages.
class argument {
 public:
  argument(Napi::Value value, std::string path) : value_(value), path_(std::move(path)) {}

  Napi::Value value() const { return value_; }
  const std::string& path() const { return path_; }
  Napi::Env env() const { return value_.Env(); }

  /// null, undefined or left out
  bool absent() const { return value_.IsEmpty() || value_.IsNull() || value_.IsUndefined(); }

  [[noreturn]] void reject(const std::string& expected) const;

  bool boolean() const;
  /// A finite number in [low, high].
  double number(double low, double high) const;
  int64_t integer(int64_t low, int64_t high) const;
  std::string string() const;
  Napi::Function function() const;
  std::vector<float> floats() const;
  std::vector<int32_t> int32s() const;
  std::vector<uint16_t> uint16s() const;
  /// A non-empty Int32Array of token ids below `vocabulary`; `may_be_empty` lets an empty one through.
  std::vector<int32_t> tokens(int vocabulary, bool may_be_empty = false) const;

  argument operator[](const char* key) const;
  /// Calls `take` for each element of an array, in order.
  void each(const std::function<void(const argument&)>& take) const;
  /// Calls `take` for each own enumerable property of an object, in order.
  void each_property(const std::function<void(const std::string& key, const argument&)>& take) const;
  std::vector<std::string> strings() const;

  template <class T>
  T choice(std::initializer_list<std::pair<const char*, T>> options) const {
    std::string text = value_.IsString() ? string() : "", expected = "one of";
    for (auto& [name, result] : options) {
      if (value_.IsString() && text == name) return result;
      expected += std::string(expected.size() > 6 ? ", \"" : " \"") + name + "\"";
    }
    reject(expected);
  }

 private:
  template <class T>
  std::vector<T> copy_array(napi_typedarray_type type, const char* expected) const;

  Napi::Value value_;
  std::string path_;
};

/// The arguments of one call by position; one that was left out is undefined.
class arguments {
 public:
  explicit arguments(const Napi::CallbackInfo& info) : info_(info) {}
  Napi::Env env() const { return info_.Env(); }
  argument at(size_t i, const char* name) const { return argument(i < info_.Length() ? info_[i] : info_.Env().Undefined(), name); }

 private:
  const Napi::CallbackInfo& info_;
};

}  // namespace t2::binding
