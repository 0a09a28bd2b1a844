// Host emulation: the shared memory of the block that runs. The dynamic part stands first, then the arrays in the order of their first use;
// canaries before, between and after them.
#pragma once
#include <cstddef>
#include <source_location>
#include <string>

namespace t2::cuda::host {

class shared_memory {
 public:
  void begin_launch(size_t dynamic_bytes);
  /// Everything becomes NaN again.
  void begin_block();
  /// An empty text, or which array was written beside.
  std::string end_block() const;
  char* dynamic() { return base_ + arrays_[0].offset; }
  /// Null: more than `limit` bytes in all, or (as the text of `why`) an array that changes its size.
  char* array(const void* tag, size_t bytes, const std::source_location& where, size_t limit, const char** why);
  std::string describe(const void* address) const;
  size_t used() const { return used_; }

 private:
  static constexpr int most = 64;
  static constexpr size_t canary = 64;
  struct entry {
    const void* tag;
    const char *function, *file;
    unsigned line;
    size_t offset, bytes;
  };
  static size_t end_of(const entry& e) { return (e.offset + e.bytes + 31) / 32 * 32 + canary; }
  std::string name(int i) const;
  void add(const entry& e);
  void map();
  char* base_ = nullptr;
  entry arrays_[most];
  int count_ = 0;
  size_t used_ = 0;
};

}  // namespace t2::cuda::host
