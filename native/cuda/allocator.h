// Device memory: cudaMalloc behind free blocks, since the core takes and gives back the same sizes at every step. Blocks that are given
// back may still be read by work in the stream: whoever gets them next writes behind that work. Any thread.
#pragma once
#include <cstddef>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

#include "platform.h"

namespace t2::cuda {

class allocator {
 public:
  allocator() = default;
  allocator(const allocator&) = delete;
  ~allocator() { clear(); }

  /// At least `bytes`, 64-byte aligned (256 on a device); null when there is none left (free blocks are given up before that).
  void* allocate(size_t bytes);
  void release(void* p);
  /// While held nothing goes back to the device: work that is being captured may still refer to free blocks.
  void hold(bool held);
  /// Gives free blocks back to the device.
  void trim();
  /// Bytes in free blocks.
  size_t kept() const;
  /// Everything, free or not: the end of the context.
  void clear();

 private:
  void* take_free(size_t size, size_t largest);
  void give_back_free();

  mutable std::mutex mutex_;
  // By size, then address: of equal blocks always the lowest, so that steps which begin with the same free blocks get the same addresses
  // in whatever order the step before gave them back. Recorded graphs depend on that.
  std::set<std::pair<size_t, void*>> free_;
  std::unordered_map<void*, size_t> size_of_;  // of every block
  size_t kept_ = 0;
  bool held_ = false;
};

}  // namespace t2::cuda
