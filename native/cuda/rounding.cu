// Rounding of activations before a product with 16-bit matrices, and what is left to do after it.
#include "rounding.h"

#include <algorithm>
#include <type_traits>

#include "device.h"
#include "launch.h"

namespace t2::cuda {

// kernels

namespace {

constexpr int threads = 256;
constexpr int per_block = threads * 4;

/// Largest magnitude of a row, as bits: NaN counts as the largest of all.
__device__ unsigned row_magnitude(const float* x, int size, bool vector) {
  unsigned most = 0;
  auto take = [&](float v) { most = max(most, __float_as_uint(v) & 0x7fffffffu); };
  if (vector) {
    for (int j = int(threadIdx.x) * 4; j < size; j += per_block) {
      const float4 v = load4(x + j);
      take(v.x), take(v.y), take(v.z), take(v.w);
    }
  } else {
    for (int j = int(threadIdx.x); j < size; j += threads) take(x[j]);
  }
  return block_max(most, 0u);
}

/// The exponent of the factor that brings `magnitude` to [2^14, 2^15). Zero, infinity and NaN stay as they are.
__device__ int factor_exponent(unsigned magnitude) {
  const int biased = int(magnitude >> 23);
  return magnitude == 0 || biased == 255 ? 0 : min(127 + 14 - biased, 126);
}
__device__ float power_of_two(int exponent) { return __uint_as_float(unsigned(127 + exponent) << 23); }

template <class T>
__global__ void T2_LAUNCH_BOUNDS(threads, 4) round_kernel(const float* x, int64_t x_stride, int size, T* to, int64_t to_stride,
                                                          float* inverse, const unsigned* largest, int vector) {
  const int64_t row = blockIdx.x;
  x += row * x_stride;
  to += row * to_stride;
  float factor = 1;
  if constexpr (std::is_same_v<T, __half>) {
    const int exponent = factor_exponent(largest ? *largest : row_magnitude(x, size, vector));
    factor = power_of_two(exponent);
    if (threadIdx.x == 0 && (!largest || row == 0)) inverse[largest ? 0 : row] = power_of_two(-exponent);
  }
  if (vector) {
    for (int j = int(threadIdx.x) * 4; j < size; j += per_block) {
      const float4 v = load4(x + j);
      store4(to + j, make_float4(v.x * factor, v.y * factor, v.z * factor, v.w * factor));
    }
  } else {
    for (int j = int(threadIdx.x); j < size; j += threads) store(to + j, x[j] * factor);
  }
}

__global__ void T2_LAUNCH_BOUNDS(threads, 4)
    magnitude_kernel(const float* x, int64_t x_stride, int n, int size, unsigned* largest, int vector) {
  unsigned most = 0;
  for (int64_t row = blockIdx.x; row < n; row += gridDim.x) most = max(most, row_magnitude(x + row * x_stride, size, vector));
  if (threadIdx.x == 0) atomicMax(largest, most);  // whatever the order
}

__global__ void T2_LAUNCH_BOUNDS(threads, 4) finish_kernel(const float* from, int64_t from_stride, const float* inverse, const float* bias,
                                                           int size, int accumulate, float* y, int64_t y_stride) {
  const int64_t row = blockIdx.x;
  const float factor = inverse ? inverse[row] : 1.f;
  from += row * from_stride;
  y += row * y_stride;
  const int begin = int(blockIdx.y) * per_block + int(threadIdx.x);
  for (int j = begin; j < min(size, (int(blockIdx.y) + 1) * per_block); j += threads) {
    float v = from[j] * factor;
    if (bias) v += bias[j];
    y[j] = accumulate ? y[j] + v : v;
  }
}

/// Four elements at a time.
bool in_fours(const float* x, int64_t stride, int64_t size) { return is_aligned(x, 16) && stride % 4 == 0 && size % 4 == 0; }

}  // namespace

// launchers

int round_rows(t2_context* c, const float* x, int64_t x_stride, int32_t n, int32_t size, int32_t dtype, void* to, float* inverse,
               rounded_rows* out, const unsigned* largest) {
  if (dtype == 0) {
    *out = {x, x_stride, element::f32};
    return T2_OK;
  }
  const int64_t stride = rounded_stride(size);
  const int vector = in_fours(x, x_stride, size);
  if (dtype == 1) {
    *out = {to, stride, element::f16, inverse, largest ? 0 : 1};
    return launch(c, round_kernel<__half>, unsigned(n), threads, 0, x, x_stride, size, static_cast<__half*>(to), stride, inverse, largest,
                  vector);
  }
  *out = {to, stride, element::bf16};
  return launch(c, round_kernel<__nv_bfloat16>, unsigned(n), threads, 0, x, x_stride, size, static_cast<__nv_bfloat16*>(to), stride,
                nullptr, nullptr, vector);
}

int magnitude(t2_context* c, const float* x, int64_t x_stride, int32_t n, int32_t size, unsigned* largest) {
  T2_CUDA(cudaMemsetAsync(largest, 0, sizeof *largest, c->stream));
  const unsigned blocks = unsigned(std::min(n, std::max(1, c->multiprocessors) * 8));
  return launch(c, magnitude_kernel, blocks, threads, 0, x, x_stride, n, size, largest, int(in_fours(x, x_stride, size)));
}

int finish_rows(t2_context* c, const float* from, int64_t from_stride, const float* inverse, const float* bias, int32_t n, int32_t size,
                bool accumulate, float* y, int64_t y_stride) {
  return launch(c, finish_kernel, dim3(unsigned(n), blocks_for(size, per_block)), threads, 0, from, from_stride, inverse, bias, size,
                int(accumulate), y, y_stride);
}

}  // namespace t2::cuda
