// The pinned ring, the block of a graph, and the two buffers that uploads go through.
#include "staging.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "context.h"

namespace t2::cuda {
namespace {

constexpr size_t half_bytes = size_t(1) << 20, block_bytes = size_t(4) << 20, buffer_bytes = size_t(4) << 20;
// Smaller arrays are not looked for: two of them may be equal by chance, and then a graph's arrays would lie elsewhere than at other steps.
constexpr size_t least_seen = 1024, most_seen = 8;

size_t aligned(size_t at, size_t alignment) { return (at + alignment - 1) / alignment * alignment; }

}  // namespace

// Regions

bool staging::region::find(const void* host, size_t bytes, size_t alignment, size_t* at) const {
  for (auto it = seen.rbegin(); it != seen.rend(); ++it)
    if (it->bytes == bytes && it->at % alignment == 0 && !std::memcmp(pinned + it->at, host, bytes)) {
      *at = it->at;
      return true;
    }
  return false;
}

void staging::region::add(const void* host, size_t bytes, size_t at) {
  if (bytes) std::memcpy(pinned + at, host, bytes);
  used = at + bytes;
  if (bytes < least_seen) return;
  if (seen.size() == most_seen) seen.erase(seen.begin());
  seen.push_back({at, bytes});
}

void staging::region::restart() {
  used = 0;
  seen.clear();
}

int staging::make(t2_context* c, region& r, size_t bytes, bool with_device) {
  drop(r);
  if (with_device && !(r.device = static_cast<char*>(c->memory.allocate(bytes))))
    return c->fail(T2_ERROR_MEMORY, "no device memory for " + std::to_string(bytes) + " bytes of staged arrays");
  T2_CUDA(cudaMallocHost(reinterpret_cast<void**>(&r.pinned), bytes));
  T2_CUDA(cudaEventCreateWithFlags(&r.sent, cudaEventDisableTiming));
  r.size = bytes;
  return T2_OK;
}

// The copies out of `r` are done (or the stream is dead).
void staging::drop(region& r) {
  if (r.pinned) cudaFreeHost(r.pinned);
  if (r.sent) cudaEventDestroy(r.sent);
  if (r.device) owner_->memory.release(r.device);
  r = {};
}

int staging::wait(t2_context* c, region& r) {
  if (r.pending) T2_CUDA(cudaEventSynchronize(r.sent));
  r.pending = false;
  return T2_OK;
}

int staging::mark(t2_context* c, region& r) {
  T2_CUDA(cudaEventRecord(r.sent, c->stream));
  r.pending = true;
  return T2_OK;
}

// The ring and the block

int staging::open(t2_context* c) {
  owner_ = c;
  for (auto& half : half_) T2_TRY(make(c, half, half_bytes, true));
  for (auto& buffer : buffer_) T2_TRY(make(c, buffer, buffer_bytes, false));
  return make(c, block_, block_bytes, true);
}

void staging::close() {
  for (region* r : {&half_[0], &half_[1], &block_, &buffer_[0], &buffer_[1]}) drop(*r);
  for (void* p : outgrown_) owner_->memory.release(p);
  outgrown_.clear();
}

int staging::put(t2_context* c, const void* host, size_t bytes, size_t alignment, const void** device) {
  *device = nullptr;
  if (in_block_) {
    size_t at = 0;
    if (!block_.find(host, bytes, alignment, &at)) {
      at = aligned(block_.used, alignment);
      wanted_ = std::max(wanted_, block_.used) + bytes + alignment;
      // What does not fit goes nowhere: the graph that asks for it will not run.
      if (at + bytes <= block_.size) block_.add(host, bytes, at);
      else at = 0;
    }
    *device = block_.device + at;
    return T2_OK;
  }
  if (bytes > half_[0].size / 4) {
    T2_CUDA(cudaStreamSynchronize(c->stream));
    for (auto& half : half_) {
      outgrown_.push_back(std::exchange(half.device, nullptr));
      T2_TRY(make(c, half, aligned(bytes * 8, half_bytes), true));
    }
    current_ = 0;
  }
  size_t at = 0;
  if (half_[current_].find(host, bytes, alignment, &at)) {
    *device = half_[current_].device + at;
    return T2_OK;
  }
  at = aligned(half_[current_].used, alignment);
  if (at + bytes > half_[current_].size) {
    T2_TRY(mark(c, half_[current_]));
    current_ = !current_;
    T2_TRY(wait(c, half_[current_]));
    half_[current_].restart();
    at = 0;
  }
  region& half = half_[current_];
  half.add(host, bytes, at);
  if (bytes) T2_CUDA(cudaMemcpyAsync(half.device + at, half.pinned + at, bytes, cudaMemcpyHostToDevice, c->stream));
  *device = half.device + at;
  return T2_OK;
}

int staging::begin_block(t2_context* c, bool* moved) {
  *moved = wanted_ > block_.size;
  T2_TRY(wait(c, block_));
  if (*moved) T2_TRY(make(c, block_, aligned(wanted_ * 2, block_bytes), true));
  block_.restart();
  wanted_ = 0;
  in_block_ = true;
  return T2_OK;
}

bool staging::end_block() {
  in_block_ = false;
  return wanted_ <= block_.size;
}

int staging::send_block(t2_context* c) {
  if (!block_.used) return T2_OK;
  T2_CUDA(cudaMemcpyAsync(block_.device, block_.pinned, block_.used, cudaMemcpyHostToDevice, c->stream));
  return mark(c, block_);
}

// Uploads

int staging::upload(t2_context* c, void* device, const void* host, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    region& buffer = buffer_[next_buffer_];
    next_buffer_ = !next_buffer_;
    const size_t part = std::min(bytes - done, buffer.size);
    T2_TRY(wait(c, buffer));
    std::memcpy(buffer.pinned, static_cast<const char*>(host) + done, part);
    T2_CUDA(cudaMemcpyAsync(static_cast<char*>(device) + done, buffer.pinned, part, cudaMemcpyHostToDevice, c->stream));
    T2_TRY(mark(c, buffer));
    done += part;
  }
  return T2_OK;
}

}  // namespace t2::cuda
