// What the single-operator entry points share: plain arrays in, device buffers between, plain arrays out. For tests and benchmarks; every
// size and index is checked, so that a wrong test fails with a message instead of reading beyond a buffer. JavaScript thread only.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "arguments.h"
#include "t2/backend.h"

namespace t2::binding {

/// Device memory of one operator call.
class buffer {
 public:
  buffer(const t2_backend* backend, t2_context* context, size_t bytes);
  ~buffer() { backend_->release(context_, data_); }
  buffer(const buffer&) = delete;
  buffer& operator=(const buffer&) = delete;
  void upload(const void* from, size_t bytes);
  void download(void* to, size_t bytes) const;
  float* floats() const { return static_cast<float*>(data_); }
  void* data() const { return data_; }

 private:
  const t2_backend* backend_;
  t2_context* context_;
  void* data_;
};

/// One call of operator(name, inputs).
class operator_call {
 public:
  operator_call(argument inputs, const t2_backend* backend, t2_context* context);

  const t2_backend* backend;
  t2_context* context;

  bool has(const char* key) const { return !inputs_[key].absent(); }
  argument input(const char* key) const { return inputs_[key]; }
  int integer(const char* key, int64_t low, int64_t high) const { return int(inputs_[key].integer(low, high)); }
  int integer_or(const char* key, int64_t low, int64_t high, int otherwise) const { return has(key) ? integer(key, low, high) : otherwise; }
  float number(const char* key) const { return float(inputs_[key].number(-1e30, 1e30)); }

  /// Host arrays of exactly `count` elements (any number when −1); indices in [low, high).
  std::vector<float> floats(const char* key, int64_t count) const;
  std::vector<int32_t> indices(const char* key, int64_t count, int64_t low, int64_t high) const;

  /// A Float32Array of exactly `count` elements on the device.
  float* upload(const char* key, int64_t count);
  float* upload_or_null(const char* key, int64_t count) { return has(key) ? upload(key, count) : nullptr; }
  /// Room for `count` floats, all NaN, so that what an operator leaves out shows.
  float* room(int64_t count);
  /// `key` (Float32Array, or Uint16Array with key_dtype 1: F16, 2: BF16) as [key_rows, key_cols], rows key_stride (default key_cols) apart.
  t2_matrix matrix(const std::string& key) { return on_device(host_matrix(key)); }
  /// The same, left in host memory; and its copy on the device.
  t2_matrix host_matrix(const std::string& key);
  t2_matrix on_device(t2_matrix m);

  /// Runs the operator `repeat` times (default once), notes the milliseconds of each run, and throws on an error status.
  template <class F>
  void run(const F& f) {
    for (int i = 0; i < repeat_; i++) {
      start_clock();
      check(f());
      settle();
      stop_clock();
    }
  }
  void check(int status) const;

  /// Results. The device ones are given by the pointer that upload() or room() returned.
  void give(const char* key, const float* device, int64_t count);
  void give(const char* key, const std::vector<float>& values);
  void give(const char* key, const std::vector<double>& values);
  void give(const char* key, double value) { results_.Set(key, value); }
  Napi::Object results();

  /// Any bytes on the device.
  void* store(const void* from, size_t bytes);

 private:
  /// Waits for a device that works on its own.
  void settle();
  void start_clock();
  void stop_clock();

  argument inputs_;
  Napi::Object results_;
  std::vector<std::unique_ptr<buffer>> buffers_;
  std::vector<std::vector<uint8_t>> host_;
  std::vector<double> milliseconds_;
  double started_ = 0;
  int repeat_;
};

/// Elements of an array of these sides, or an error when no machine would hold it.
int64_t elements(std::initializer_list<int64_t> sides);

typedef void (*operator_function)(operator_call&);
struct named_operator {
  const char* name;
  operator_function run;
};

extern const std::vector<named_operator> row_operators, matrix_operators, attention_operators, loss_operators, vector_operators,
    limit_operators;

}  // namespace t2::binding
