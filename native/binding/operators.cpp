// operator(name, inputs): one operator of a backend's table, or "svd", on plain arrays. T2_TEST_DEVICE says which backend (device.h). The
// inputs of each are the arguments of its entry in t2/backend.h by name; see operators_*.cpp. Common to all: `threads` (default 1),
// `deterministic` (default 0) and `repeat` (default 1); the result always has `milliseconds`, one value per repetition.
#include "operators.h"

#include <chrono>
#include <cstring>

#include "exports.h"
#include "handles.h"
#include "t2/dtype.h"

namespace t2::binding {

int64_t elements(std::initializer_list<int64_t> sides) {
  constexpr int64_t limit = int64_t(1) << 29;
  int64_t product = 1;
  for (int64_t side : sides) {
    product *= side;
    if (product > limit) throw t2::error("ERR_T2_INVALID_OPTION", "An array of an operator call would have more than 2^29 elements.");
  }
  return product;
}

buffer::buffer(const t2_backend* backend, t2_context* context, size_t bytes)
    : backend_(backend), context_(context), data_(backend->allocate(context, bytes ? bytes : 1)) {
  if (!data_) throw std::bad_alloc();
}

void buffer::upload(const void* from, size_t bytes) {
  if (backend_->upload(context_, data_, from, bytes)) throw t2::error("ERR_T2_NATIVE", backend_->last_error(context_));
}

void buffer::download(void* to, size_t bytes) const {
  if (backend_->download(context_, to, data_, bytes)) throw t2::error("ERR_T2_NATIVE", backend_->last_error(context_));
}

operator_call::operator_call(argument inputs, const t2_backend* b, t2_context* c)
    : backend(b), context(c), inputs_(std::move(inputs)), results_(Napi::Object::New(inputs_.env())) {
  repeat_ = integer_or("repeat", 1, 1 << 20, 1);
}

std::vector<float> operator_call::floats(const char* key, int64_t count) const {
  std::vector<float> v = inputs_[key].floats();
  if (count >= 0 && int64_t(v.size()) != count) inputs_[key].reject("a Float32Array of " + std::to_string(count) + " elements");
  return v;
}

std::vector<int32_t> operator_call::indices(const char* key, int64_t count, int64_t low, int64_t high) const {
  std::vector<int32_t> v = inputs_[key].int32s();
  if (count >= 0 && int64_t(v.size()) != count) inputs_[key].reject("an Int32Array of " + std::to_string(count) + " elements");
  for (int32_t x : v)
    if (x < low || x >= high)
      inputs_[key].reject("an Int32Array of values from " + std::to_string(low) + " to " + std::to_string(high - 1));
  return v;
}

void* operator_call::store(const void* from, size_t bytes) {
  buffers_.push_back(std::make_unique<buffer>(backend, context, bytes));
  if (bytes) buffers_.back()->upload(from, bytes);
  return buffers_.back()->data();
}

float* operator_call::upload(const char* key, int64_t count) {
  std::vector<float> v = floats(key, count);
  return static_cast<float*>(store(v.data(), v.size() * 4));
}

float* operator_call::room(int64_t count) {
  std::vector<float> nan(size_t(count), std::numeric_limits<float>::quiet_NaN());
  return static_cast<float*>(store(nan.data(), nan.size() * 4));
}

t2_matrix operator_call::host_matrix(const std::string& key) {
  t2_matrix m;
  m.rows = integer((key + "_rows").c_str(), 1, max_int32);
  m.cols = integer((key + "_cols").c_str(), 1, max_int32);
  m.stride = integer_or((key + "_stride").c_str(), m.cols, max_int32, m.cols);
  size_t count = size_t(elements({m.rows, m.stride}));
  argument data = input(key.c_str());
  if (data.value().IsTypedArray() && data.value().As<Napi::TypedArray>().TypedArrayType() == napi_uint16_array) {
    m.dtype = integer((key + "_dtype").c_str(), 1, 2);
    std::vector<uint16_t> v = data.uint16s();
    if (v.size() != count) data.reject("a Uint16Array of " + std::to_string(count) + " elements");
    host_.emplace_back(reinterpret_cast<uint8_t*>(v.data()), reinterpret_cast<uint8_t*>(v.data() + v.size()));
  } else {
    m.dtype = 0;
    std::vector<float> v = floats(key.c_str(), int64_t(count));
    host_.emplace_back(reinterpret_cast<uint8_t*>(v.data()), reinterpret_cast<uint8_t*>(v.data() + v.size()));
  }
  m.data = host_.back().data();
  return m;
}

t2_matrix operator_call::on_device(t2_matrix m) {
  m.data = store(m.data, size_t(m.rows) * size_t(m.stride) * size_t(size_of(dtype(m.dtype))));
  return m;
}

void operator_call::check(int status) const {
  if (!status) return;
  const char* code = status == T2_ERROR_MEMORY      ? "ERR_T2_OUT_OF_MEMORY"
                     : status == T2_ERROR_INVALID   ? "ERR_T2_INVALID_OPTION"
                     : status == T2_ERROR_CANCELLED ? "ERR_T2_ABORTED"
                                                    : "ERR_T2_NATIVE";
  throw t2::error(code, backend->last_error(context));
}

static double now() { return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
void operator_call::settle() {
  float any;
  if (!backend->host_memory && !buffers_.empty()) buffers_.front()->download(&any, sizeof any);
}
void operator_call::start_clock() { started_ = now(); }
void operator_call::stop_clock() { milliseconds_.push_back(now() - started_); }

void operator_call::give(const char* key, const float* device, int64_t count) {
  std::vector<float> host(size_t(count), 0.f);
  if (count) check(backend->download(context, host.data(), device, host.size() * 4));
  give(key, host);
}

void operator_call::give(const char* key, const std::vector<float>& values) { results_.Set(key, floats_out(results_.Env(), values)); }

void operator_call::give(const char* key, const std::vector<double>& values) {
  results_.Set(key, copy_out<Napi::Float64Array>(results_.Env(), values.data(), values.size()));
}

Napi::Object operator_call::results() {
  give("milliseconds", milliseconds_);
  return results_;
}

Napi::Value single_operator(environment& js, const arguments& args) {
  argument which = args.at(0, "name");
  std::string name = which.string();
  argument inputs = args.at(1, "inputs");
  int threads = inputs["threads"].absent() ? 1 : int(inputs["threads"].integer(1, 256));
  bool deterministic = !inputs["deterministic"].absent() && inputs["deterministic"].integer(0, 1);
  for (auto* family : {&row_operators, &matrix_operators, &attention_operators, &loss_operators, &vector_operators, &limit_operators}) {
    for (const named_operator& op : *family) {
      if (name != op.name) continue;
      device_ptr on = js.operator_device(threads, deterministic);
      if (family == &limit_operators && !on->table->host_memory) which.reject("an operator that the device has");
      operator_call call(inputs, on->table, on->context);
      op.run(call);
      return call.results();
    }
  }
  which.reject("the name of an operator");
}

}  // namespace t2::binding
