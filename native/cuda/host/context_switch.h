// Host emulation: stacks of fibres and the step from one to another. Assembly for x86-64 and aarch64, ucontext elsewhere.
#pragma once
#include <cstddef>

namespace t2::cuda::host {

/// Where a fibre that does not run is to go on: its stack pointer, or its ucontext.
using context = void*;

/// A context that begins with `entry` (which never returns) on the stack that ends at `top`.
context make_context(char* bottom, char* top, void (*entry)());
/// Leaves this context, kept in `from`, for `to`.
extern "C" void t2_cuda_host_switch(context* from, context to) __attribute__((visibility("hidden")));

/// Stacks of 64 KiB with a guard page below: mapped once, given out last in, first out.
class stack_pool {
 public:
  struct stack {
    char *bottom, *top;
  };
  /// The number of a free stack; there are as many as a block can have threads.
  int take();
  void give_back(int number) { free_[free_count_++] = number; }
  void all_are_free();
  stack at(int number) const;
  bool holds(const void* address) const;

 private:
  static constexpr int count = 1024;
  static constexpr size_t size = 64 * 1024;
  void map();
  char* region_ = nullptr;
  size_t page_ = 0, stride_ = 0;
  int free_[count], free_count_ = 0;
  bool usable_[count] = {};
};

}  // namespace t2::cuda::host
