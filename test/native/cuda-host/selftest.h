// Self-test of the host emulation: how checks are written. A check is a function; what it expects in vain is printed and counted.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <mma.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "faults.h"
#include "platform.h"
#include "runtime.h"

namespace selftest {

inline int wrong_in_check = 0;

#define EXPECT(condition)                                                     \
  do {                                                                        \
    if (!(condition)) {                                                       \
      selftest::wrong_in_check++;                                             \
      std::printf("  # %s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
    }                                                                         \
  } while (0)
#define EXPECT_STATUS(expression, wanted)                                                                            \
  do {                                                                                                               \
    const cudaError_t got = (expression);                                                                            \
    if (got != (wanted)) {                                                                                           \
      selftest::wrong_in_check++;                                                                                    \
      std::printf("  # %s:%d: %s is %s, not %s\n", __FILE__, __LINE__, #expression, cudaGetErrorName(got), #wanted); \
    }                                                                                                                \
  } while (0)

/// Runs a check and prints "ok name" or "not ok name". The device lives at the start and no fault is asked for.
void check(const char* name, void (*body)());

/// Device memory of a test.
template <class T>
struct array {
  explicit array(size_t count) : count(count) { EXPECT_STATUS(cudaMalloc(&p, count * sizeof(T)), cudaSuccess); }
  explicit array(const std::vector<T>& values) : array(values.size()) {
    EXPECT_STATUS(cudaMemcpy(p, values.data(), count * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
  }
  array(const array&) = delete;
  ~array() { cudaFree(p); }
  std::vector<T> values() const {
    std::vector<T> v(count);
    EXPECT_STATUS(cudaMemcpy(v.data(), p, count * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
    return v;
  }
  T* p = nullptr;
  size_t count;
};

inline void seed(int n) { setenv("T2_CUDA_HOST_SEED", std::to_string(n).c_str(), 1); }
inline std::vector<float> ramp(size_t n, float scale = 1) {
  std::vector<float> v(n);
  for (size_t i = 0; i < n; i++) v[i] = scale * (float(i * 37 % 101) - 50);
  return v;
}
constexpr int seeds = 20;

template <class... P, class... A>
cudaError_t go(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, A... arguments) {
  return t2::cuda::host::launch(kernel, grid, block, shared, nullptr, static_cast<P>(arguments)...);
}
inline bool reason_has(const char* text) { return t2::cuda::host::last_failure().find(text) != std::string::npos; }

void correct_kernels();
void planted_faults();
void runtime_calls();
/// In a process with T2_CUDA_HOST_STREAMS=late: how many expectations were in vain.
int late_streams();

}  // namespace selftest
