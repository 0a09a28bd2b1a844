// SwiGLU and its gradient, element by element.
#include <algorithm>

#include "device.h"
#include "launch.h"
#include "operators.h"

namespace t2::cuda {

// kernels

namespace {

constexpr int threads = 256, most_blocks = 4096;

/// f(i) for the first of every W elements that are the thread's; count is a multiple of W.
template <int W, class F>
__device__ void each_element(int64_t count, F f) {
  int64_t step = int64_t(gridDim.x) * threads * W;
  for (int64_t i = (int64_t(blockIdx.x) * threads + threadIdx.x) * W; i < count; i += step) f(i);
}

__device__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

template <int W>
__global__ void forward(const float* gate, const float* up, int64_t count, float* y) {
  each_element<W>(count, [&](int64_t i) {
    auto g = load_pack<W>(gate + i), u = load_pack<W>(up + i);
    for (int k = 0; k < W; k++) g.at[k] = g.at[k] * sigmoid(g.at[k]) * u.at[k];
    store_pack(y + i, g);
  });
}

template <int W>
__global__ void backward(const float* gate, const float* up, const float* dy, int64_t count, float* dgate, float* dup) {
  each_element<W>(count, [&](int64_t i) {
    auto g = load_pack<W>(gate + i), u = load_pack<W>(up + i), d = load_pack<W>(dy + i);
    for (int k = 0; k < W; k++) {
      float s = sigmoid(g.at[k]), slope = d.at[k] * u.at[k] * s * (1.f + g.at[k] * (1.f - s));
      u.at[k] = d.at[k] * g.at[k] * s;
      g.at[k] = slope;
    }
    store_pack(dgate + i, g);
    store_pack(dup + i, u);
  });
}

unsigned grid_of(int64_t count, int width) { return std::min(blocks_for(count, int64_t(threads) * width), unsigned(most_blocks)); }

}  // namespace

// launchers

int swiglu(t2_context* c, const float* gate, const float* up, int64_t count, float* y) {
  bool wide = count % 4 == 0 && is_aligned(gate, 16) && is_aligned(up, 16) && is_aligned(y, 16);
  return launch(c, wide ? forward<4> : forward<1>, grid_of(count, wide ? 4 : 1), threads, 0, gate, up, count, y);
}

int swiglu_backward(t2_context* c, const float* gate, const float* up, const float* dy, int64_t count, float* dgate, float* dup) {
  bool wide =
      count % 4 == 0 && is_aligned(gate, 16) && is_aligned(up, 16) && is_aligned(dy, 16) && is_aligned(dgate, 16) && is_aligned(dup, 16);
  return launch(c, wide ? backward<4> : backward<1>, grid_of(count, wide ? 4 : 1), threads, 0, gate, up, dy, count, dgate, dup);
}

}  // namespace t2::cuda
