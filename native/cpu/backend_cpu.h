// The CPU backend's context and the entry to its operator table. Used by the engine thread that created it.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "kernels.h"
#include "t2/backend.h"
#include "thread_pool.h"

/// Buffers that grow and stay: `scratch(thread, slot, floats)` is a thread's own, slots are independent of each other.
struct t2_context {
  explicit t2_context(int threads);

  t2::cpu::thread_pool pool;
  const t2::cpu::kernels& k;
  std::string error;
  t2_cancelled cancelled = nullptr;
  void* cancel_data = nullptr;

  struct {
    std::vector<float> frequencies, values;  // values [positions, head_dim]: cosines, then sines
    float factor = 0;
  } rope;

  float* scratch(int thread, int slot, size_t floats);
  bool stop() const { return cancelled && cancelled(cancel_data); }
  /// parallel_for that looks at the cancel flag before every task. Returns T2_OK or T2_ERROR_CANCELLED.
  int parallel(int tasks, const std::function<void(int task, int thread)>& f);
  /// Splits [0, n) into chunks of at least `grain` for element-wise work.
  int ranges(int64_t n, int64_t grain, const std::function<void(int64_t begin, int64_t end, int thread)>& f);

 private:
  static constexpr int slots = 8;
  std::vector<std::vector<float>> buffers_;  // [thread × slot]; thread index `threads` is the shared one
};

namespace t2::cpu {

constexpr int shared = -1;  // the thread argument of scratch() for buffers that all threads read

// One function per operator, each in the file of its name; signatures as in t2_backend.
int embed(t2_context*, const t2_matrix*, const int32_t*, int32_t, float*);
int rms_norm(t2_context*, const float*, const float*, int32_t, int32_t, float, float*);
int rms_norm_backward(t2_context*, const float*, const float*, const float*, int32_t, int32_t, float, float*);
int linear(t2_context*, const float*, int64_t, int32_t, const t2_linear*, int32_t);
int linear_backward(t2_context*, const float*, int64_t, int32_t, const t2_matrix*, float*, int64_t, int32_t);
int scale_rows(t2_context*, float*, int64_t, int32_t, int32_t, const float* const*, const int32_t*);
int rope(t2_context*, float*, int64_t, int32_t, int32_t, int32_t, const int32_t*, const float*, float, int32_t);
int rope_write(t2_context*, const t2_rope_write*);
int gather_rows(t2_context*, const float*, int64_t, const int32_t*, int32_t, float*);
int scatter_add_rows(t2_context*, const float*, int64_t, const int32_t*, int32_t, float*);
int attention(t2_context*, const t2_attention*);
int attention_backward(t2_context*, const t2_attention*);
int swiglu(t2_context*, const float*, const float*, int64_t, float*);
int swiglu_backward(t2_context*, const float*, const float*, const float*, int64_t, float*, float*);
int z_gradient(t2_context*, const float*, int64_t, const float*, int64_t, int32_t, const t2_matrix*, const t2_matrix*, double*);
int merge(t2_context*, const t2_matrix*, const t2_matrix*, const t2_matrix*, const float*, void*, int32_t);
int loss(t2_context*, const t2_loss*);
int sample(t2_context*, float*, int32_t, int32_t, const t2_sample_row*, int32_t*, float*);
// vectors.cpp
int mix(t2_context*, const float* const*, const float*, int32_t, float, int64_t, float*);
int axpy(t2_context*, float, const float*, int64_t, float*);
int cast(t2_context*, const void*, int32_t, int64_t, void*, int32_t);
int adamw(t2_context*, const t2_adamw*);

}  // namespace t2::cpu

const t2_backend* t2_cpu_backend();
t2_context* t2_cpu_create(int threads);
