// Device memory owned by C++ objects, and the mapping from operator status codes to exceptions.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "t2/device.h"
#include "t2/error.h"

namespace t2 {

[[noreturn]] inline void fail_memory(const t2_backend* table, t2_context* context, const std::string& message, std::string detail) {
  int64_t available = 0, total = 0;
  if (table->memory(context, &available, &total) == T2_OK) {
    if (!detail.empty()) detail.append(",");
    detail.append("\"available\":").append(std::to_string(available)).append(",\"total\":").append(std::to_string(total));
  }
  throw error("ERR_T2_OUT_OF_MEMORY", message, "{" + detail + "}");
}

/// Throws for any status but T2_OK. A cancelled operator is reported as aborted; callers with a cancel_check look at it first.
inline void check(const t2_backend* table, t2_context* context, int status) {
  if (status == T2_OK) return;
  if (status == T2_ERROR_CANCELLED) throw error("ERR_T2_ABORTED", "The work was aborted.");
  std::string why = table->last_error(context);
  if (status == T2_ERROR_LOST) throw error("ERR_T2_DEVICE_LOST", "The device is lost to this process: " + why);
  if (status == T2_ERROR_MEMORY) fail_memory(table, context, "Operator failed: " + why, {});
  throw error("ERR_T2_NATIVE", "Operator failed: " + why);
}
inline void check(const device& d, int status) { check(d.table, d.context, status); }

/// Throws for an allocation that failed: ERR_T2_OUT_OF_MEMORY with the numbers, or what ails the device.
[[noreturn]] inline void fail_allocation(const device& d, size_t bytes) {
  int64_t available = 0, total = 0;
  check(d, d.table->memory(d.context, &available, &total));
  fail_memory(d.table, d.context,
              "Could not allocate " + std::to_string(bytes) + " bytes: the device has " + std::to_string(available) + " of " +
                  std::to_string(total) + " left.",
              "\"requested\":" + std::to_string(bytes));
}

/// A block of device memory. Moves, does not copy.
class buffer {
 public:
  buffer() = default;
  buffer(device_ptr d, size_t bytes) : device_(std::move(d)), bytes_(bytes) {
    data_ = device_->table->allocate(device_->context, bytes ? bytes : 64);
    if (!data_) fail_allocation(*device_, bytes);
  }
  buffer(buffer&& b) noexcept { swap(b); }
  buffer& operator=(buffer&& b) noexcept {
    swap(b);
    return *this;
  }
  ~buffer() {
    if (data_) device_->table->release(device_->context, data_);
  }
  float* floats() const { return static_cast<float*>(data_); }
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void swap(buffer& b) noexcept {
    std::swap(device_, b.device_);
    std::swap(data_, b.data_);
    std::swap(bytes_, b.bytes_);
  }
  device_ptr device_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

/// Scratch buffers taken in the same order at every step and kept between steps.
class workspace {
 public:
  explicit workspace(device_ptr d) : device_(std::move(d)) {}
  float* take(size_t floats) {
    if (next_ == blocks_.size()) blocks_.emplace_back();
    buffer& b = blocks_[next_++];
    if (b.bytes() < floats * 4) {
      b = buffer();
      b = buffer(device_, floats * 4);
    }
    return b.floats();
  }
  /// The buffers taken since the last reset are free again.
  void reset() { next_ = 0; }
  void clear() {
    next_ = 0;
    blocks_.clear();
  }
  size_t bytes() const {
    size_t sum = 0;
    for (auto& b : blocks_) sum += b.bytes();
    return sum;
  }

 private:
  device_ptr device_;
  std::vector<buffer> blocks_;
  size_t next_ = 0;
};

}  // namespace t2
