// Factors where operators find them: mapped files where device memory is ordinary memory; else copies on the device, or, where the device
// is too small for all of them, a few copies at a time that follow the work. Engine thread only, but for what says otherwise.
#pragma once
#include <atomic>
#include <list>
#include <map>

#include "upload.h"

namespace t2 {

struct factor_views {
  t2_matrix u, vh;  // [rows, r], [r, cols]
};

class factor_store {
 public:
  explicit factor_store(device_ptr d) : device_(std::move(d)) {}

  /// The matrix' factors from now on; the host memory lives as long as this.
  void attach(int matrix, const factor_views& host, const cancel_check& cancel);
  /// Valid for operators called before `kept` further calls for other matrices.
  factor_views at(int matrix);
  /// Whether every view stays where it is.
  bool all_resident() const { return streamed_ == 0; }
  int64_t device_bytes() const { return device_bytes_; }  // any thread

  static constexpr size_t kept = 4;

 private:
  struct entry {
    factor_views host{}, there{};
    buffer u, vh;
    bool resident = false;
  };
  void bring(entry& e, const cancel_check& cancel);
  void drop(entry& e);

  device_ptr device_;
  std::map<int, entry> entries_;
  std::list<int> recent_;  // streamed matrices with a copy on the device, the newest first
  int streamed_ = 0;
  std::atomic<int64_t> device_bytes_{0};
};

}  // namespace t2
