// A flag that one thread sets and the engine thread looks at between layers, tiles, matrices and tokens.
#pragma once
#include <atomic>
#include <memory>

#include "t2/error.h"

namespace t2 {

class cancel_flag {
 public:
  void fire() { fired_.store(true, std::memory_order_relaxed); }
  bool fired() const { return fired_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> fired_{false};
};

/// What a piece of work must look at: its own flag and the engine's (closing). Either may be null. Copyable; flags outlive it.
struct cancel_check {
  const cancel_flag* own = nullptr;
  const cancel_flag* closing = nullptr;

  bool fired() const { return (own && own->fired()) || (closing && closing->fired()); }
  void operator()() const {
    if (closing && closing->fired()) throw error("ERR_T2_DISPOSED", "The model was disposed of while this work was running.");
    if (own && own->fired()) throw error("ERR_T2_ABORTED", "The work was aborted.");
  }
};

}  // namespace t2
