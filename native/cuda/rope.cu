// Rotary position embedding: one block per token and stretch of heads; a thread turns one pair of one head.
#include <algorithm>

#include "device.h"
#include "launch.h"
#include "operators.h"

namespace t2::cuda {

// kernels

namespace {

constexpr int threads = 256;

/// One pair of one head.
__device__ void turn(const float* from, float* to, int p, int half, float position, const float* inverse_frequencies, float factor,
                     float sign) {
  float sine, cosine;
  sincosf(position * inverse_frequencies[p], &sine, &cosine);  // fp32 product, as transformers computes it
  cosine *= factor;
  sine *= factor * sign;
  float a = from[p], b = from[p + half];
  to[p] = a * cosine - b * sine;
  to[p + half] = b * cosine + a * sine;
}

/// Block (pairs of a head, heads).
__global__ void rotate(float* x, int64_t stride, int heads, int half, const int32_t* positions, const float* inverse_frequencies,
                       float factor, float sign) {
  int h = int(blockIdx.y * blockDim.y + threadIdx.y);
  if (h >= heads) return;
  float* v = x + blockIdx.x * stride + int64_t(h) * 2 * half;
  for (int p = int(threadIdx.x); p < half; p += int(blockDim.x))
    turn(v, v, p, half, float(positions[blockIdx.x]), inverse_frequencies, factor, sign);
}

/// The same block over the heads of q, then of k, then (cache only) of v. The tables are the device's copies.
__global__ void rotate_and_write(t2_rope_write r) {
  int64_t i = blockIdx.x;
  int h = int(blockIdx.y * blockDim.y + threadIdx.y), half = r.head_dim / 2;
  float position = float(r.positions[i]);
  const float* from;
  float* to;
  bool copied = false;
  if (h < r.heads) {
    from = to = r.q + i * r.q_stride + int64_t(h) * r.head_dim;
  } else if ((h -= r.heads) < r.kv_heads) {
    from = r.k + i * r.kv_stride + int64_t(h) * r.head_dim;
    to = r.k_rows ? r.k_rows[i] + r.offset + int64_t(h) * r.head_dim : const_cast<float*>(from);
  } else if ((h -= r.kv_heads) < r.kv_heads && r.v_rows) {
    from = r.v + i * r.kv_stride + int64_t(h) * r.head_dim;
    to = r.v_rows[i] + r.offset + int64_t(h) * r.head_dim;
    copied = true;
  } else {
    return;
  }
  for (int p = int(threadIdx.x); p < half; p += int(blockDim.x)) {
    if (copied) {
      to[p] = from[p];
      to[p + half] = from[p + half];
    } else {
      turn(from, to, p, half, position, r.inverse_frequencies, r.factor, 1.f);
    }
  }
}

struct shape {
  dim3 grid, block;
};

shape shape_of(int32_t n, int heads, int half) {
  unsigned pairs = unsigned(std::min(half, threads)), together = std::max(1u, std::min(unsigned(heads), unsigned(threads) / pairs));
  return {dim3(unsigned(n), blocks_for(heads, together)), dim3(pairs, together)};
}

}  // namespace

// launchers

int rope(t2_context* c, float* x, int64_t stride, int32_t n, int32_t heads, int32_t head_dim, const int32_t* positions,
         const float* inverse_frequencies, float factor, int32_t inverse) {
  int half = head_dim / 2;
  if (n <= 0 || heads <= 0 || half <= 0) return T2_OK;
  const int32_t* staged = nullptr;
  T2_TRY(c->stage(positions, size_t(n), &staged));
  shape s = shape_of(n, heads, half);
  return launch(c, rotate, s.grid, s.block, 0, x, stride, heads, half, staged, inverse_frequencies, factor, inverse ? -1.f : 1.f);
}

int rope_write(t2_context* c, const t2_rope_write* what) {
  t2_rope_write r = *what;
  if (r.n <= 0 || r.head_dim < 2) return T2_OK;
  T2_TRY(c->stage(what->positions, size_t(r.n), &r.positions));
  if (r.k_rows) {
    T2_TRY(c->stage(what->k_rows, size_t(r.n), &r.k_rows));
    T2_TRY(c->stage(what->v_rows, size_t(r.n), &r.v_rows));
  }
  shape s = shape_of(r.n, r.heads + r.kv_heads * (r.k_rows ? 2 : 1), r.head_dim / 2);
  return launch(c, rotate_and_write, s.grid, s.block, 0, r);
}

}  // namespace t2::cuda
