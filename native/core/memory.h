// Device memory owned by C++ objects, and the mapping from operator status codes to exceptions.
#pragma once
#include <memory>
#include <vector>

#include "t2/device.h"
#include "t2/error.h"

namespace t2 {

typedef std::shared_ptr<device> device_ptr;

/// Throws for any status but T2_OK. A cancelled operator is reported as aborted; callers with a cancel_check look at it first.
inline void check(const device& d, int status) {
  if (status == T2_OK) return;
  if (status == T2_ERROR_CANCELLED) throw error("ERR_T2_ABORTED", "The work was aborted.");
  std::string why = d.table->last_error(d.context);
  throw error(status == T2_ERROR_MEMORY ? "ERR_T2_OUT_OF_MEMORY" : "ERR_T2_NATIVE", "Operator failed: " + why);
}

/// A block of device memory. Moves, does not copy.
class buffer {
 public:
  buffer() = default;
  buffer(device_ptr d, size_t bytes) : device_(std::move(d)), bytes_(bytes) {
    data_ = device_->table->allocate(device_->context, bytes ? bytes : 64);
    if (!data_)
      throw error("ERR_T2_OUT_OF_MEMORY", "Could not allocate " + std::to_string(bytes) + " bytes.",
                  "{\"requested\":" + std::to_string(bytes) + "}");
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
