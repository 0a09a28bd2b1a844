// CUDA graphs of decode steps. The core calls the same operators in the same order at every step of one key; what changes lies in staged
// arrays. begin() of a new key captures; of a known one it only compares every launch with the recorded one by a hash of all its arguments,
// and end() copies the arrays over and launches the graph. A difference makes end() return T2_RETRY: nothing has run, the recording is
// gone.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <vector>

#include "platform.h"

struct t2_context;

namespace t2::cuda {

/// FNV-1a over the bytes of what is added.
class graph_hash {
 public:
  template <class T>
  void add(const T& value) {
    unsigned char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    for (unsigned char b : bytes) value_ = (value_ ^ b) * 0x100000001b3ull;
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325ull;
};

class graphs {
 public:
  graphs();
  graphs(const graphs&) = delete;
  ~graphs();

  /// Between begin and end.
  bool active() const { return active_; }
  bool replaying() const { return active_ && replaying_; }
  /// One launch (or library call) of an active graph. True: it must be made now, it is being captured. False: replaying.
  bool record(const graph_hash& h);
  /// Of an active graph: copies `bytes` from the device to the host when the stream gets there, and waits in end(). For `sample`.
  void download_at_end(void* to, const void* from, size_t bytes);

  int begin(t2_context* c, uint64_t key);
  int end(t2_context* c);
  /// An operator of the active graph returned an error: end() runs nothing.
  void fail() { failed_ = true; }
  /// Memory that recordings may refer to has moved: drops them, and the active one after its end.
  void forget();
  /// The end of the context.
  void clear();

  /// cudaFuncSetAttribute(MaxDynamicSharedMemorySize), once per kernel and size.
  cudaError_t allow_shared(const void* kernel, size_t bytes);

 private:
  struct recording {
    recording() = default;
    recording(const recording&) = delete;
    ~recording();
    std::vector<uint64_t> hashes;
    cudaGraphExec_t graph = nullptr;
  };
  struct result {
    void* to;
    const void* from;
    size_t bytes;
  };
  int capture(t2_context* c);
  int run(t2_context* c, const recording& r);

  bool active_ = false, replaying_ = false, differs_ = false, failed_ = false, keep_ = true;
  size_t at_ = 0;
  std::unordered_map<uint64_t, std::unique_ptr<recording>> recordings_;  // but for the active one
  std::unique_ptr<recording> current_;
  uint64_t key_ = 0;
  std::vector<result> results_;
  char* pinned_results_ = nullptr;
  size_t pinned_size_ = 0;
  std::unordered_map<const void*, size_t> shared_;
};

}  // namespace t2::cuda
