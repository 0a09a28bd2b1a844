// RMSNorm and its gradient: one block per row, whose size depends on the row's length alone, so that a row's bits do too.
#include <algorithm>

#include "device.h"
#include "launch.h"
#include "operators.h"

namespace t2::cuda {

// kernels

namespace {

/// f(j) for the first of every W columns that are the thread's.
template <int W, class F>
__device__ void each_pack(int size, F f) {
  for (int j = int(threadIdx.x) * W; j < size; j += int(blockDim.x) * W) f(j);
}

__device__ float inverse_rms(float squares, int size, float eps) { return 1.f / sqrtf(squares / float(size) + eps); }

template <int W>
__global__ void norm(const float* x, const float* weight, int size, float eps, float* y) {
  x += int64_t(blockIdx.x) * size;
  y += int64_t(blockIdx.x) * size;
  float squares = 0;
  each_pack<W>(size, [&](int j) {
    auto v = load_pack<W>(x + j);
    for (int i = 0; i < W; i++) squares += v.at[i] * v.at[i];
  });
  float inverse = inverse_rms(block_sum(squares), size, eps);
  each_pack<W>(size, [&](int j) {
    auto v = load_pack<W>(x + j);
    auto w = load_pack<W>(weight + j);
    for (int i = 0; i < W; i++) v.at[i] = w.at[i] * (v.at[i] * inverse);
    store_pack(y + j, v);
  });
}

// y = w x s with s = (mean x² + eps)^-½:  dx = s w dy − x s³ / size · Σ w dy x
template <int W>
__global__ void norm_backward(const float* x, const float* weight, const float* dy, int size, float eps, float* dx) {
  x += int64_t(blockIdx.x) * size;
  dy += int64_t(blockIdx.x) * size;
  dx += int64_t(blockIdx.x) * size;
  float squares = 0, products = 0;
  each_pack<W>(size, [&](int j) {
    auto v = load_pack<W>(x + j);
    auto w = load_pack<W>(weight + j);
    auto d = load_pack<W>(dy + j);
    for (int i = 0; i < W; i++) {
      squares += v.at[i] * v.at[i];
      products += w.at[i] * d.at[i] * v.at[i];
    }
  });
  float inverse = inverse_rms(block_sum(squares), size, eps);
  float along = block_sum(products) * inverse * inverse * inverse / float(size);
  each_pack<W>(size, [&](int j) {
    auto v = load_pack<W>(x + j);
    auto w = load_pack<W>(weight + j);
    auto d = load_pack<W>(dy + j);
    auto sum = load_pack<W>(dx + j);
    for (int i = 0; i < W; i++) sum.at[i] += inverse * w.at[i] * d.at[i] - along * v.at[i];
    store_pack(dx + j, sum);
  });
}

unsigned threads_for(int size, int width) {
  unsigned warps = blocks_for(size, int64_t(warp_size) * width);
  return std::clamp(warps, 1u, 16u) * warp_size;
}

}  // namespace

// launchers

int rms_norm(t2_context* c, const float* x, const float* weight, int32_t n, int32_t size, float eps, float* y) {
  bool wide = size % 4 == 0 && is_aligned(x, 16) && is_aligned(weight, 16) && is_aligned(y, 16);
  return launch(c, wide ? norm<4> : norm<1>, unsigned(n), threads_for(size, wide ? 4 : 1), 0, x, weight, size, eps, y);
}

int rms_norm_backward(t2_context* c, const float* x, const float* weight, const float* dy, int32_t n, int32_t size, float eps, float* dx) {
  bool wide = size % 4 == 0 && is_aligned(x, 16) && is_aligned(weight, 16) && is_aligned(dy, 16) && is_aligned(dx, 16);
  return launch(c, wide ? norm_backward<4> : norm_backward<1>, unsigned(n), threads_for(size, wide ? 4 : 1), 0, x, weight, dy, size, eps,
                dx);
}

}  // namespace t2::cuda
