// The CUDA backend's context: stream, memory, staging of host arrays, scratch, graphs, libraries, errors. One per loaded model. Used by the
// engine thread; memory, check and fail may be used from any thread.
#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "allocator.h"
#include "graph.h"
#include "libraries.h"
#include "platform.h"
#include "staging.h"
#include "t2/backend.h"
#include "t2/dtype.h"

namespace t2::cuda {

/// Device scratch by purpose: buffers that grow and stay. An operator uses its own slots only, and no operator calls another one that has
/// the same slots.
enum scratch_slot {
  scratch_gemm_workspace,  // gemm.cu
  scratch_cast_a,          // operands rounded to a matrix' dtype: linear.cu, z_gradient.cu, merge.cu
  scratch_cast_b,
  scratch_row_scales,
  scratch_product_a,  // z_gradient.cu
  scratch_product_b,
  scratch_attention,  // attention_*.cu
  scratch_attention_b,
  scratch_logits,  // loss.cu
  scratch_reference,
  scratch_loss_rows,
  scratch_sample,  // sample.cu
  scratch_sample_out,
  scratch_slots
};

}  // namespace t2::cuda

struct t2_context {
  int device = 0;
  bool deterministic = false;
  int capability = 0;       // 90 for sm_90
  int multiprocessors = 0;  // on the device
  cudaStream_t stream = nullptr;
  std::string error, description;
  std::atomic<bool> lost{false};
  t2_cancelled cancelled = nullptr;
  void* cancel_data = nullptr;

  t2::cuda::libraries libraries;
  t2::cuda::allocator memory;
  t2::cuda::staging staging;
  t2::cuda::graphs graphs;

  t2_context() = default;
  t2_context(const t2_context&) = delete;
  ~t2_context();

  /// Device memory of at least `bytes`, valid until the same slot is asked for again. Null when there is no memory.
  void* scratch(t2::cuda::scratch_slot slot, size_t bytes);
  float* scratch_floats(t2::cuda::scratch_slot slot, size_t floats) { return static_cast<float*>(scratch(slot, floats * 4)); }

  /// A host array on the device, valid for work of this stream until megabytes of other arrays have been staged (see staging.h): for the
  /// operator that staged it. The array is read before this returns. A null pointer in `to` with T2_ERROR_MEMORY when there is no room.
  template <class T>
  int stage(const T* host, size_t count, const T** to) {
    const void* p = nullptr;
    int status = staging.put(this, host, count * sizeof(T), alignof(T) < 16 ? 16 : alignof(T), &p);
    *to = static_cast<const T*>(p);
    return status;
  }

  /// What every entry of the table begins with: T2_ERROR_LOST, or the context's device is the calling thread's.
  int enter();
  /// Waits for the stream; sticky errors mark the context lost. An error inside a graph.
  int synchronize();
  /// T2_OK, or the code that stands for a runtime error, with the text behind last_error: memory, a failed call, a lost device.
  int check(cudaError_t status, const char* what, const char* file, int line);
  /// Sets the text behind last_error and returns `code`. A lost context keeps its first text and stays lost.
  int fail(int code, std::string message);
  /// T2_ERROR_CANCELLED when the caller wants to stop. Long operators look at it between tiles they wait for.
  int stop() const { return cancelled && cancelled(cancel_data) ? T2_ERROR_CANCELLED : T2_OK; }

 private:
  void* scratch_[t2::cuda::scratch_slots] = {};
  size_t scratch_bytes_[t2::cuda::scratch_slots] = {};
  std::mutex error_mutex_;
};

/// Inside functions that return a status and have a context `c`.
#define T2_CUDA(expression)                                                                        \
  do {                                                                                             \
    if (int t2_status = c->check((expression), #expression, __FILE__, __LINE__)) return t2_status; \
  } while (0)
#define T2_TRY(expression)                              \
  do {                                                  \
    if (int t2_status = (expression)) return t2_status; \
  } while (0)
/// A scratch buffer or the end of the function.
#define T2_SCRATCH(pointer, slot, floats)                   \
  float* pointer = c->scratch_floats(slot, size_t(floats)); \
  if (!pointer) return c->fail(T2_ERROR_MEMORY, "no device memory for " + std::to_string(size_t(floats) * 4) + " bytes of scratch")
