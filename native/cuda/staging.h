// Host arrays on their way to the device: pinned memory and device memory of the same layout, so that operators may pass tables without
// waiting. Outside graphs a ring of two halves takes them, one copy each; inside a graph they lie one after another at fixed places of a
// block and go over in one copy before the graph runs. Equal arrays in a row (the tables of one layer after another) are sent once.
#pragma once
#include <cstddef>
#include <vector>

#include "platform.h"

struct t2_context;

namespace t2::cuda {

class staging {
 public:
  staging() = default;
  staging(const staging&) = delete;
  ~staging() { close(); }

  int open(t2_context* c);
  void close();
  /// Copies `bytes` from the host and sets where they are (or, in a graph, will be) on the device: until half a ring of other arrays has
  /// been put. The ring grows so that no array is more than an eighth of it.
  int put(t2_context* c, const void* host, size_t bytes, size_t alignment, const void** device);
  /// Large data, straight from where it lies (a mapped file), through two pinned buffers. Read when this returns, not yet there.
  int upload(t2_context* c, void* device, const void* host, size_t bytes);

  // graph.cu: arrays between begin and end go to the block.
  /// Grows the block when the last one was too small; `moved` says that its addresses have changed.
  int begin_block(t2_context* c, bool* moved);
  /// False: the arrays did not fit, what was put is nowhere.
  bool end_block();
  /// Sends what the block holds.
  int send_block(t2_context* c);

 private:
  /// Memory that is filled from the front. `seen`: places of the larger arrays in it.
  struct region {
    char *pinned = nullptr, *device = nullptr;
    size_t size = 0, used = 0;
    struct place {
      size_t at, bytes;
    };
    std::vector<place> seen;
    cudaEvent_t sent = nullptr;  // behind the last copy out of `pinned`
    bool pending = false;

    bool find(const void* host, size_t bytes, size_t alignment, size_t* at) const;
    void add(const void* host, size_t bytes, size_t at);
    void restart();
  };
  int make(t2_context* c, region& r, size_t bytes, bool with_device);
  void drop(region& r);
  int wait(t2_context* c, region& r);
  int mark(t2_context* c, region& r);

  t2_context* owner_ = nullptr;
  region half_[2], block_, buffer_[2];
  int current_ = 0, next_buffer_ = 0;
  std::vector<void*> outgrown_;  // device halves of smaller rings: an operator may still hold places in them
  size_t wanted_ = 0;            // bytes that the arrays of the current block need
  bool in_block_ = false;
};

}  // namespace t2::cuda
