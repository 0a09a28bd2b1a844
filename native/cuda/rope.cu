// Rotary position embedding: one block per token and stretch of heads; a thread turns one pair of one head.
#include <algorithm>

#include "device.h"
#include "launch.h"
#include "operators.h"

namespace t2::cuda {

// kernels

namespace {

constexpr int threads = 256;

/// Block (pairs of a head, heads).
__global__ void rotate(float* x, int64_t stride, int heads, int half, const int32_t* positions, const float* inverse_frequencies,
                       float factor, float sign) {
  int h = int(blockIdx.y * blockDim.y + threadIdx.y);
  if (h >= heads) return;
  float* v = x + blockIdx.x * stride + int64_t(h) * 2 * half;
  float position = float(positions[blockIdx.x]);
  for (int p = int(threadIdx.x); p < half; p += int(blockDim.x)) {
    float sine, cosine;
    sincosf(position * inverse_frequencies[p], &sine, &cosine);  // fp32 product, as transformers computes it
    cosine *= factor;
    sine *= factor * sign;
    float a = v[p], b = v[p + half];
    v[p] = a * cosine - b * sine;
    v[p + half] = b * cosine + a * sine;
  }
}

}  // namespace

// launchers

int rope(t2_context* c, float* x, int64_t stride, int32_t n, int32_t heads, int32_t head_dim, const int32_t* positions,
         const float* inverse_frequencies, float factor, int32_t inverse) {
  int half = head_dim / 2;
  if (half <= 0) return T2_OK;
  const int32_t* staged = nullptr;
  T2_TRY(c->stage(positions, size_t(n), &staged));
  unsigned pairs = unsigned(std::min(half, threads)), together = std::min(unsigned(heads), unsigned(threads) / pairs);
  if (!together) return T2_OK;
  return launch(c, rotate, dim3(unsigned(n), blocks_for(heads, together)), dim3(pairs, together), 0, x, stride, heads, half, staged,
                inverse_frequencies, factor, inverse ? -1.f : 1.f);
}

}  // namespace t2::cuda
