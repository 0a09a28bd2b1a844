// Host emulation: device and pinned memory, and copies.
//
// Every allocation stands between pages that cannot be touched, its end, rounded up to 16 bytes, against the second of them. So its address
// is a multiple of 256, as CUDA promises, where its size is one; of 16 else. It is full of ones (NaN) at first. What is left of its first
// page, and between its size and its end, is a canary that cudaFree looks at.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "faults.h"
#include "runtime.h"

namespace t2::cuda::host {
namespace {

constexpr size_t guard_bytes = 256 * 1024;  // a row beside, and not only an element
enum class kind { device, pinned };

struct allocation {
  size_t bytes, rounded;
  char* map;
  size_t map_bytes;
  kind of;
  char* page() const { return map + guard_bytes; }
  void protect(int how) const { mprotect(page(), map_bytes - 2 * guard_bytes, how); }
};
struct {
  std::mutex mutex;
  std::map<const char*, allocation> all;             // by address
  std::deque<std::pair<const char*, size_t>> freed;  // the last ones: for reports
  size_t device_bytes = 0;
  int users = 0;
} memory;

bool strict() {
  static const bool is = [] {
    const char* text = std::getenv("T2_CUDA_HOST_STRICT");
    return text && *text == '1';
  }();
  return is;
}

/// Whether nobody wrote there since it was filled with ones.
bool is_untouched(const char* from, const char* to) {
  return std::all_of(from, to, [](char c) { return c == char(0xff); });
}

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/// The allocation that holds the address (its end counts); end() if none. Under the mutex.
auto find(const void* p) {
  auto after = memory.all.upper_bound(static_cast<const char*>(p));
  if (after == memory.all.begin()) return memory.all.end();
  auto it = std::prev(after);
  return static_cast<const char*>(p) <= it->first + it->second.rounded ? it : memory.all.end();
}

cudaError_t allocate(void** to, size_t bytes, kind of) {
  *to = nullptr;
  if (!bytes) return cudaSuccess;
  const size_t rounded = round_up(bytes, 16);
  const size_t limit = of == kind::device ? total_memory() : SIZE_MAX;
  std::lock_guard lock(memory.mutex);
  if (rounded < bytes || (of == kind::device && (memory.device_bytes + rounded > limit || allocation_fails())))
    return cudaErrorMemoryAllocation;
  const size_t inside = round_up(rounded, size_t(sysconf(_SC_PAGESIZE))), map_bytes = inside + 2 * guard_bytes;
  void* map = mmap(nullptr, map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) return cudaErrorMemoryAllocation;
  allocation a{bytes, rounded, static_cast<char*>(map), map_bytes, of};
  char* p = a.page() + inside - rounded;
  if (mprotect(a.page(), inside, PROT_READ | PROT_WRITE)) {
    munmap(map, map_bytes);
    return cudaErrorMemoryAllocation;
  }
  std::memset(a.page(), 0xff, inside);
  if (of == kind::device && strict() && !memory.users) a.protect(PROT_NONE);
  if (of == kind::device) memory.device_bytes += rounded;
  memory.all.emplace(p, a);
  *to = p;
  return cudaSuccess;
}

cudaError_t release(void* p, kind of) {
  if (!p) return cudaSuccess;
  std::lock_guard lock(memory.mutex);
  auto it = memory.all.find(static_cast<char*>(p));
  if (it == memory.all.end() || it->second.of != of) return cudaErrorInvalidValue;
  const allocation a = it->second;
  const char* base = it->first;
  a.protect(PROT_READ);
  const bool before = !is_untouched(a.page(), base), after = !is_untouched(base + a.bytes, base + a.rounded);
  if (before || after) {
    report(std::string("something wrote ") + (before ? "before" : "past the end of") + " an allocation of " + std::to_string(a.bytes) +
           " bytes, which is freed now");
    set_sticky(cudaErrorIllegalAddress);
  }
  munmap(a.map, a.map_bytes);
  if (of == kind::device) memory.device_bytes -= a.rounded;
  memory.freed.emplace_back(it->first, a.rounded);
  if (memory.freed.size() > 256) memory.freed.pop_front();
  memory.all.erase(it);
  return cudaSuccess;
}

/// Whether [p, p + bytes) is device memory as a whole; `touches`: whether it begins in some.
bool is_device_range(const void* p, size_t bytes, bool* touches = nullptr) {
  std::lock_guard lock(memory.mutex);
  auto it = find(p);
  const bool in = it != memory.all.end() && it->second.of == kind::device;
  const size_t offset = in ? size_t(static_cast<const char*>(p) - it->first) : 0;
  if (touches) *touches = in && offset < it->second.rounded;
  return in && offset + bytes <= it->second.rounded;
}

cudaError_t check_copy(const void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  if (!bytes) return cudaSuccess;
  bool to_touches, from_touches;
  const bool to_device = is_device_range(to, bytes, &to_touches), from_device = is_device_range(from, bytes, &from_touches);
  if (to_device != to_touches || from_device != from_touches || !to || !from) return cudaErrorInvalidValue;  // it leaves its allocation
  if (kind == cudaMemcpyDefault) return cudaSuccess;
  const bool wants_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool wants_from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return to_device == wants_to && from_device == wants_from ? cudaSuccess : cudaErrorInvalidValue;
}

/// Runs or records work that was checked and needs no protection against faults.
template <class F>
cudaError_t submit(cudaStream_t stream, F work) {
  if (!is_stream(stream)) return cudaErrorInvalidResourceHandle;
  switch (capture_status(stream)) {
    case cudaStreamCaptureStatusInvalidated:
      return cudaErrorStreamCaptureInvalidated;
    case cudaStreamCaptureStatusActive:
      record(stream, work);
      return cudaSuccess;
    default:
      return dispatch(stream, work);
  }
}

/// Memory that a copy reads or writes whenever its turn comes; other host memory is read when the copy is asked for, and written before the
/// call returns.
bool is_pinned(const void* p) {
  std::lock_guard lock(memory.mutex);
  auto it = find(p);
  return it != memory.all.end() && it->second.of == kind::pinned && static_cast<const char*>(p) < it->first + it->second.rounded;
}

/// A copy of `bytes` at `from` in a stream, by `work(from)`.
template <class F>
cudaError_t submit_copy(cudaStream_t stream, const void* to, const void* from, size_t bytes, F work) {
  const bool pageable_from = !is_device_range(from, 1) && !is_pinned(from), pageable_to = !is_device_range(to, 1) && !is_pinned(to);
  if (!streams_are_late() || !bytes || capture_status(stream) != cudaStreamCaptureStatusNone || (!pageable_from && !pageable_to))
    return submit(stream, [=] { work(static_cast<const char*>(from)); });
  if (pageable_from) {
    auto kept = std::make_shared<std::vector<char>>(static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
    if (cudaError_t status = submit(stream, [=] { work(kept->data()); })) return status;
  } else if (cudaError_t status = submit(stream, [=] { work(static_cast<const char*>(from)); })) {
    return status;
  }
  if (pageable_to) finish_stream(stream);
  return sticky();
}

}  // namespace

device_access::device_access() {
  if (!strict()) return;
  std::lock_guard lock(memory.mutex);
  if (memory.users++) return;
  for (auto& [p, a] : memory.all)
    if (a.of == kind::device) a.protect(PROT_READ | PROT_WRITE);
}
device_access::~device_access() {
  if (!strict()) return;
  std::lock_guard lock(memory.mutex);
  if (--memory.users) return;
  for (auto& [p, a] : memory.all)
    if (a.of == kind::device) a.protect(PROT_NONE);
}

size_t total_memory() {
  const char* text = std::getenv("T2_CUDA_HOST_MEMORY");
  return text && *text ? size_t(std::strtoull(text, nullptr, 10)) : size_t(4) << 30;
}

bool is_device_pointer(const void* p) {
  if (!p) return true;
  std::lock_guard lock(memory.mutex);
  auto it = find(p);
  return it != memory.all.end() && it->second.of == kind::device;
}

std::string describe_address(const void* address) {
  const char* p = static_cast<const char*>(address);
  std::lock_guard lock(memory.mutex);
  for (auto& [base, a] : memory.all) {
    if (p < a.map || p >= a.map + a.map_bytes) continue;
    const std::string what =
        (a.of == kind::device ? "a device allocation of " : "a pinned allocation of ") + std::to_string(a.bytes) + " bytes";
    if (p < base) return std::to_string(base - p) + " bytes before " + what;
    if (p < base + a.rounded) return "in " + what;
    return std::to_string(p - base - ptrdiff_t(a.bytes)) + " bytes past the end of " + what;
  }
  for (auto it = memory.freed.rbegin(); it != memory.freed.rend(); ++it)
    if (p >= it->first && p < it->first + it->second) return "in memory of " + std::to_string(it->second) + " bytes that was freed";
  return "no device memory";
}

}  // namespace t2::cuda::host

using namespace t2::cuda::host;

cudaError_t cudaMalloc(void** p, size_t bytes) {
  if (cudaError_t dead = sticky()) return dead;
  if (cudaError_t unsafe = unsafe_call()) return noted(unsafe);
  return noted(p ? allocate(p, bytes, kind::device) : cudaErrorInvalidValue);
}
cudaError_t cudaFree(void* p) {
  // Of a dead device too: the memory would count as used when a test revives it.
  if (cudaError_t unsafe = unsafe_call()) return noted(unsafe);
  finish_device();
  const cudaError_t status = release(p, kind::device);
  return sticky() ? sticky() : noted(status);
}
cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned) {
  if (cudaError_t dead = sticky()) return dead;
  if (cudaError_t unsafe = unsafe_call()) return noted(unsafe);
  return noted(p ? allocate(p, bytes, kind::pinned) : cudaErrorInvalidValue);
}
cudaError_t cudaMallocHost(void** p, size_t bytes) { return cudaHostAlloc(p, bytes, cudaHostAllocDefault); }
cudaError_t cudaFreeHost(void* p) {
  if (cudaError_t unsafe = unsafe_call()) return noted(unsafe);
  finish_device();
  const cudaError_t status = release(p, kind::pinned);
  return sticky() ? sticky() : noted(status);
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  if (cudaError_t dead = sticky()) return dead;
  std::lock_guard lock(memory.mutex);
  *total = total_memory();
  *free = *total > memory.device_bytes ? *total - memory.device_bytes : 0;
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* to, const void* p) {
  if (cudaError_t dead = sticky()) return dead;
  std::lock_guard lock(memory.mutex);
  auto it = find(p);
  *to = {cudaMemoryTypeUnregistered, -1, nullptr, const_cast<void*>(p)};
  if (it == memory.all.end()) return cudaSuccess;
  const bool device = it->second.of == kind::device;
  *to = {device ? cudaMemoryTypeDevice : cudaMemoryTypeHost, 0, const_cast<void*>(p), device ? nullptr : const_cast<void*>(p)};
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (cudaError_t dead = sticky()) return dead;
  if (cudaError_t wrong = check_copy(to, from, bytes, kind)) return noted(wrong);
  return noted(submit_copy(stream, to, from, bytes, [=](const char* s) {
    device_access access;
    std::memmove(to, s, bytes);
  }));
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (cudaError_t unsafe = unsafe_call()) return noted(unsafe);
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  if (cudaError_t dead = sticky()) return dead;
  if (width > to_pitch || width > from_pitch) return noted(cudaErrorInvalidPitchValue);
  if (!width || !height) return cudaSuccess;
  char* d = static_cast<char*>(to);
  const char* first = static_cast<const char*>(from);
  for (size_t last : {size_t(0), height - 1})
    if (cudaError_t wrong = check_copy(d + last * to_pitch, first + last * from_pitch, width, kind)) return noted(wrong);
  return noted(submit_copy(stream, to, from, (height - 1) * from_pitch + width, [=](const char* s) {
    device_access access;
    for (size_t row = 0; row < height; row++) std::memmove(d + row * to_pitch, s + row * from_pitch, width);
  }));
}

cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t stream) {
  if (cudaError_t dead = sticky()) return dead;
  if (bytes && !is_device_range(p, bytes)) return noted(cudaErrorInvalidValue);
  return noted(submit(stream, [=] {
    device_access access;
    if (bytes) std::memset(p, value, bytes);
  }));
}
cudaError_t cudaMemset(void* p, int value, size_t bytes) {
  if (cudaError_t unsafe = unsafe_call()) return noted(unsafe);
  return cudaMemsetAsync(p, value, bytes, nullptr);
}
