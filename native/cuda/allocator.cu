// Free blocks of device memory: which one an allocation gets, and when they go back to the device.
#include "allocator.h"

namespace t2::cuda {
namespace {

#ifdef T2_CUDA_HOST
// Blocks end at a guard page there: what the table promises (64-byte alignment) and no room beyond.
constexpr size_t small_granule = 64, medium_granule = 64, large_granule = 64;
size_t largest_for(size_t size) { return size; }
#else
// cudaMalloc itself gives pages of 2 MiB.
constexpr size_t small_granule = 256, medium_granule = size_t(64) << 10, large_granule = size_t(2) << 20;
size_t largest_for(size_t size) { return size + size / 8; }
#endif

size_t block_size(size_t bytes) {
  const size_t granule = bytes < (size_t(1) << 20) ? small_granule : bytes < (size_t(16) << 20) ? medium_granule : large_granule;
  if (!bytes) bytes = 1;
  return (bytes + granule - 1) / granule * granule;
}

}  // namespace

void* allocator::take_free(size_t size, size_t largest) {
  auto it = free_.lower_bound({size, nullptr});
  if (it == free_.end() || it->first > largest) return nullptr;
  void* p = it->second;
  kept_ -= it->first;
  free_.erase(it);
  return p;
}

void allocator::give_back_free() {
  for (auto& [size, p] : free_) {
    cudaFree(p);
    size_of_.erase(p);
  }
  free_.clear();
  kept_ = 0;
}

void* allocator::allocate(size_t bytes) {
  if (bytes > size_t(-1) / 2) return nullptr;
  const size_t size = block_size(bytes);
  std::lock_guard lock(mutex_);
  if (void* p = take_free(size, largest_for(size))) return p;
  void* p = nullptr;
  auto status = cudaMalloc(&p, size);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // the runtime remembers errors; this one is answered here
    if (held_) return take_free(size, size_t(-1));
    if (free_.empty()) return nullptr;
    give_back_free();
    status = cudaMalloc(&p, size);
    if (status == cudaErrorMemoryAllocation) cudaGetLastError();
  }
  if (status != cudaSuccess) return nullptr;
  size_of_[p] = size;
  return p;
}

void allocator::release(void* p) {
  if (!p) return;
  std::lock_guard lock(mutex_);
  auto it = size_of_.find(p);
  if (it != size_of_.end() && free_.insert({it->second, p}).second) kept_ += it->second;
}

void allocator::hold(bool held) {
  std::lock_guard lock(mutex_);
  held_ = held;
}

void allocator::trim() {
  std::lock_guard lock(mutex_);
  if (!held_) give_back_free();
}

size_t allocator::kept() const {
  std::lock_guard lock(mutex_);
  return kept_;
}

void allocator::clear() {
  std::lock_guard lock(mutex_);
  for (auto& [p, size] : size_of_) cudaFree(p);
  size_of_.clear();
  free_.clear();
  kept_ = 0;
}

}  // namespace t2::cuda
