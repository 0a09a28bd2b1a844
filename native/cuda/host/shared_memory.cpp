// Host emulation: the shared memory of the block that runs.
#include "shared_memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace t2::cuda::host {
namespace {

constexpr size_t arena_bytes = 512 * 1024, guard_bytes = 16 << 20;
constexpr unsigned char pattern[4] = {0xfd, 0xff, 0xfb, 0xff};  // a NaN in every floating-point type, and not what fresh memory holds

void paint(char* from, char* to) {
  for (char* p = from; p < to; p++) *p = char(pattern[reinterpret_cast<uintptr_t>(p) & 3]);
}
const char* first_change(const char* from, const char* to) {
  for (const char* p = from; p < to; p++)
    if (*p != char(pattern[reinterpret_cast<uintptr_t>(p) & 3])) return p;
  return nullptr;
}

}  // namespace

void shared_memory::map() {
  void* p = mmap(nullptr, arena_bytes + 2 * guard_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  base_ = static_cast<char*>(p) + guard_bytes;
  if (p == MAP_FAILED || mprotect(base_, arena_bytes, PROT_READ | PROT_WRITE)) {
    std::perror("host emulation of CUDA: no room for shared memory");
    std::abort();
  }
}

void shared_memory::add(const entry& e) {
  arrays_[count_++] = e;
  used_ += e.bytes;
  std::memset(base_ + e.offset, 0xff, e.bytes);
  paint(base_ + e.offset + e.bytes, base_ + end_of(e));
}

void shared_memory::begin_launch(size_t dynamic_bytes) {
  if (!base_) map();
  count_ = 0;
  used_ = 0;
  paint(base_, base_ + canary);
  add({nullptr, "", "", 0, canary, dynamic_bytes});
}

void shared_memory::begin_block() {
  for (int i = 0; i < count_; i++) std::memset(base_ + arrays_[i].offset, 0xff, arrays_[i].bytes);
}

std::string shared_memory::end_block() const {
  if (first_change(base_, base_ + canary)) return "wrote before its dynamic shared memory";
  for (int i = 0; i < count_; i++) {
    const entry& e = arrays_[i];
    const char* end = base_ + e.offset + e.bytes;
    if (const char* at = first_change(end, base_ + end_of(e)))
      return "wrote " + std::to_string(at - end) + " bytes past the end of " + name(i) + " (or before the array after it)";
  }
  return {};
}

char* shared_memory::array(const void* tag, size_t bytes, const std::source_location& where, size_t limit, const char** why) {
  for (int i = 1; i < count_; i++) {
    const entry& e = arrays_[i];
    if (e.tag != tag || (e.function != where.function_name() && std::strcmp(e.function, where.function_name()))) continue;
    if (e.bytes == bytes) return base_ + e.offset;
    *why = "a shared array is asked for with two sizes";
    return nullptr;
  }
  if (used_ + bytes > limit || count_ == most) return nullptr;
  add({tag, where.function_name(), where.file_name(), where.line(), end_of(arrays_[count_ - 1]), bytes});
  return base_ + arrays_[count_ - 1].offset;
}

std::string shared_memory::name(int i) const {
  const entry& e = arrays_[i];
  if (!i) return "its dynamic shared memory of " + std::to_string(e.bytes) + " bytes";
  return "the shared array of " + std::to_string(e.bytes) + " bytes in " + e.file + ":" + std::to_string(e.line);
}

std::string shared_memory::describe(const void* address) const {
  const char* p = static_cast<const char*>(address);
  if (!base_ || p < base_ - guard_bytes || p >= base_ + arena_bytes + guard_bytes) return {};
  return "beside all shared memory of the block";
}

}  // namespace t2::cuda::host
