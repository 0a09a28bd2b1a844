// The normaliser of a row of logits, for loss.cu and sample.cu: one pass over the row by one block.
#pragma once
#include "device.h"

namespace t2::cuda {

/// e^x for x ≤ 0 as the CPU has it: 0 where it would be subnormal, and next to nothing for a NaN.
__device__ inline float exp_of(float x) { return x < -87.33654f ? 0.f : expf(fmaxf(x, -87.33654f)); }

struct normaliser {
  float maximum, sum, lse;  // sum: of e^(x − maximum)
};

/// Every thread keeps a running maximum and its sum in fp32; the threads' sums are added in fp64. The bits depend on the row and the size
/// of the block alone.
static __device__ inline normaliser normalise(const float* x, int n) {
  float top = -3e38f, sum = 0;
  for (int j = int(threadIdx.x); j < n; j += int(blockDim.x)) {
    float v = x[j];
    if (v > top) {
      sum *= exp_of(top - v);
      top = v;
    }
    sum += exp_of(v - top);
  }
  normaliser z;
  z.maximum = block_max(top, -3e38f);
  z.sum = float(block_sum(double(sum * exp_of(top - z.maximum))));
  z.lse = z.maximum + logf(z.sum);
  return z;
}

/// Threads of the block that takes a row.
inline unsigned row_threads(int n) { return n >= 1024 * 8 ? 1024 : n >= 256 * 4 ? 256 : n > 64 ? 64 : 32; }

}  // namespace t2::cuda
