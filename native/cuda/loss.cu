// The fused loss: logits in chunks → log-probs, KL over the full vocabulary and dlogits in place → dhidden. Nothing of size
// [rows, vocabulary] outlives a chunk.
#include <algorithm>

#include "launch.h"
#include "operators.h"
#include "softmax.h"

namespace t2::cuda {

// kernels

namespace {

/// Per row of the chunk; null pointers: not wanted.
struct row_arrays {
  const int32_t* target;
  const float *weight, *kl_weight;
  float* logprob;
  double* kl;
};

/// A logit under both models: what the terms of KL and its slope are made of. Equal rows give a ratio of exactly 0.
struct term {
  float policy, reference;  // probabilities
  double ratio;             // log policy − log reference
};

__device__ term term_of(float l, float lr, const normaliser& p, const normaliser& r) {
  return {exp_of(l - p.maximum) * (1.f / p.sum), exp_of(lr - r.maximum) * (1.f / r.sum), (double(l) - p.lse) - (double(lr) - r.lse)};
}

/// One block per row. logits become dlogits when `slope`; reference: logits of the reference model, or null.
__global__ void T2_LAUNCH_BOUNDS(1024, 1)
    row_loss(float* logits, const float* reference, int64_t stride, int vocabulary, row_arrays rows, int direction, bool slope) {
  const int row = int(blockIdx.x), target = rows.target[row];
  float* l = logits + row * stride;
  const float* lr = reference ? reference + row * stride : nullptr;
  const normaliser p = normalise(l, vocabulary);
  if (threadIdx.x == 0) rows.logprob[row] = l[target] - p.lse;
  normaliser r{};
  double kl = 0;
  float kl_weight = 0;
  if (lr) {
    r = normalise(lr, vocabulary);
    for (int j = int(threadIdx.x); j < vocabulary; j += int(blockDim.x)) {
      term t = term_of(l[j], lr[j], p, r);
      kl += direction == 0 ? double(t.policy) * t.ratio : double(t.reference) * -t.ratio;
    }
    kl = block_sum(kl);
    kl_weight = rows.kl_weight[row];
    if (threadIdx.x == 0 && rows.kl) rows.kl[row] = kl;
  }
  if (!slope) return;
  __syncthreads();  // the target's logit has been read
  const float weight = rows.weight ? rows.weight[row] : 0.f, scale = weight / p.sum;
  for (int j = int(threadIdx.x); j < vocabulary; j += int(blockDim.x)) {
    float x = l[j], g = exp_of(x - p.maximum) * scale;  // weight (π − 1 at the target)
    if (j == target) g -= weight;
    if (lr) {
      term t = term_of(x, lr[j], p, r);
      // direction 0: d KL / dl = π (log π − log ref − KL); 1: π − ref
      g += kl_weight * (direction == 0 ? t.policy * float(t.ratio - kl) : t.policy - t.reference);
    }
    l[j] = g;
  }
}

}  // namespace

// launchers

int loss(t2_context* c, const t2_loss* op) {
  const t2_loss& a = *op;
  if (a.n <= 0) return T2_OK;
  const int v = a.head.rows, h = a.head.cols;
  const bool with_kl = a.reference && a.kl_weight;
  const int64_t stride = (int64_t(v) + 7) / 8 * 8;  // rows that begin where the products like them to
  const int chunk = int(std::clamp<int64_t>((int64_t(64) << 20) / stride, 8, a.n < 8 ? 8 : a.n));
  T2_SCRATCH(logits, scratch_logits, chunk * stride);
  float* reference = nullptr;
  if (with_kl) {
    T2_SCRATCH(other, scratch_reference, chunk * stride);
    reference = other;
  }
  // [n] KL in fp64, then [n] log-probs
  T2_SCRATCH(results, scratch_loss_rows, 3 * size_t(a.n));
  double* kl = a.kl && with_kl ? reinterpret_cast<double*>(results) : nullptr;
  float* logprob = results + 2 * size_t(a.n);
  for (int r0 = 0; r0 < a.n; r0 += chunk) {
    T2_TRY(c->stop());
    const int rows = std::min(chunk, a.n - r0);
    t2_linear item{a.head, logits, stride, nullptr, 0};
    T2_TRY(linear(c, a.hidden + int64_t(r0) * h, h, rows, &item, 1));
    if (with_kl) {
      item.y = reference;
      T2_TRY(linear(c, a.reference + int64_t(r0) * h, h, rows, &item, 1));
    }
    row_arrays part{nullptr, nullptr, nullptr, logprob + r0, kl ? kl + r0 : nullptr};
    T2_TRY(c->stage(a.target + r0, size_t(rows), &part.target));
    if (a.weight) T2_TRY(c->stage(a.weight + r0, size_t(rows), &part.weight));
    if (with_kl) T2_TRY(c->stage(a.kl_weight + r0, size_t(rows), &part.kl_weight));
    T2_TRY(
        launch(c, row_loss, unsigned(rows), row_threads(v), 0, logits, reference, stride, v, part, a.kl_direction, a.dhidden != nullptr));
    if (a.dhidden) T2_TRY(linear_backward(c, logits, stride, rows, &a.head, a.dhidden + int64_t(r0) * h, h, 0));
  }
  T2_CUDA(cudaMemcpyAsync(a.logprob, logprob, size_t(a.n) * 4, cudaMemcpyDeviceToHost, c->stream));
  if (kl) T2_CUDA(cudaMemcpyAsync(a.kl, kl, size_t(a.n) * 8, cudaMemcpyDeviceToHost, c->stream));
  return c->synchronize();
}

}  // namespace t2::cuda
