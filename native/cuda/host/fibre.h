// Host emulation: launches. The blocks of a launch run one after another; the threads of a block are fibres of the launching thread, which
// go in an order that a seed shuffles (T2_CUDA_HOST_SEED; 0 is the natural order), so that a missing barrier shows. One kernel runs at a
// time.
#pragma once
#include <cstddef>
#include <memory>
#include <source_location>
#include <tuple>
#include <type_traits>

#include "runtime_api.h"
#include "vector_types.h"

#pragma GCC visibility push(hidden)

// Of the fibre that runs. Plain variables and not thread-local ones: an access in a shared library would be a call.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace t2::cuda::host {

struct request {
  const void* kernel;
  dim3 grid, block;
  size_t shared;  // dynamic bytes
  cudaStream_t stream;
  const void* call;                                  // kernel and arguments
  void (*invoke)(const void*);                       // one thread of it
  std::shared_ptr<const void> (*keep)(const void*);  // a copy of `call`, for a capture
  const void* const* pointers;                       // the arguments that are pointers: device memory or null
  int pointer_count;
};
/// Checks it, and runs or records it.
cudaError_t launch(const request&);
/// Runs it.
cudaError_t run_launch(const request&);

template <class... P>
cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, cudaStream_t stream,
                   const std::type_identity_t<P>&... arguments) {
  struct kernel_call {
    void (*kernel)(P...);
    std::tuple<P...> arguments;
  } call{kernel, {arguments...}};
  const void* pointers[sizeof...(P) + 1];
  int count = 0;
  [[maybe_unused]] auto add = [&]<class T>(const T& v) {
    if constexpr (std::is_pointer_v<T> && !std::is_function_v<std::remove_pointer_t<T>>)
      pointers[count++] = const_cast<const void*>(static_cast<const volatile void*>(v));
  };
  (add(arguments), ...);
  request r{reinterpret_cast<const void*>(kernel), grid, block, shared, stream, &call, nullptr, nullptr, pointers, count};
  r.invoke = [](const void* p) {
    auto* c = static_cast<const kernel_call*>(p);
    std::apply(c->kernel, c->arguments);
  };
  r.keep = [](const void* p) -> std::shared_ptr<const void> { return std::make_shared<kernel_call>(*static_cast<const kernel_call*>(p)); };
  return launch(r);
}

// Shared memory: all ones (NaN) when a block begins, canaries around every array that are looked at when it ends.

void* dynamic_shared();
void* shared_bytes(const void* tag, size_t bytes, const std::source_location& where);

/// The array of one T2_SHARED line: the same for all threads of a block, another one for every instantiation of a template.
template <class T, int key>
T* shared_array(size_t count, std::source_location where = std::source_location::current()) {
  static_assert(alignof(T) <= 32);
  static char tag;
  return static_cast<T*>(shared_bytes(&tag, count * sizeof(T), where));
}

// What threads do together

/// __syncthreads
void barrier();
/// Waits until all lanes of the mask are here with the same function and mask; then `complete` gets what each of them brought.
void collective(const char* what, unsigned mask, void* mine, void (*complete)(void* const* of_lane, unsigned mask));
/// Ends the launch that runs with an error; `reason` stands on stderr with the kernel, the block and the thread.
[[noreturn]] void fail(cudaError_t, const char* reason);

}  // namespace t2::cuda::host

#pragma GCC visibility pop
