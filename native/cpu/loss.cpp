// The fused loss: logits in chunks → log-probs, KL over the full vocabulary and dlogits in place → dhidden. Nothing of size
// [rows, vocabulary] outlives a chunk.
#include <algorithm>
#include <cmath>

#include "backend_cpu.h"

namespace t2::cpu {
namespace {

struct normaliser {
  float maximum, sum, lse;
};

normaliser normalise(t2_context* c, const float* logits, int vocabulary) {
  normaliser z;
  z.sum = c->k.sum_exp(logits, vocabulary, &z.maximum);
  z.lse = z.maximum + std::log(z.sum);
  return z;
}

/// KL of one row in fp64, and with `gradient` its derivative times `weight` added onto `gradient`. l: policy, lr: reference logits.
double row_kl(int direction, const float* l, const float* lr, const normaliser& p, const normaliser& r, int vocabulary, float weight,
              float* pi, float* ref, float* gradient, t2_context* c) {
  c->k.softmax_given(l, vocabulary, p.maximum, 1.f / p.sum, pi);
  c->k.softmax_given(lr, vocabulary, r.maximum, 1.f / r.sum, ref);
  double kl = 0;
  if (direction == 0) {  // Σ π (log π − log ref);  d/dl = π (log π − log ref − KL)
    for (int j = 0; j < vocabulary; j++) kl += double(pi[j]) * ((double(l[j]) - p.lse) - (double(lr[j]) - r.lse));
    if (gradient)
      for (int j = 0; j < vocabulary; j++) gradient[j] += weight * pi[j] * float((double(l[j]) - p.lse) - (double(lr[j]) - r.lse) - kl);
  } else {  // Σ ref (log ref − log π);  d/dl = π − ref
    for (int j = 0; j < vocabulary; j++) kl += double(ref[j]) * ((double(lr[j]) - r.lse) - (double(l[j]) - p.lse));
    if (gradient)
      for (int j = 0; j < vocabulary; j++) gradient[j] += weight * (pi[j] - ref[j]);
  }
  return kl;
}

}  // namespace

int loss(t2_context* c, const t2_loss* op) {
  const t2_loss& a = *op;
  int v = a.head.rows, h = a.head.cols;
  bool with_kl = a.reference && a.kl_weight;
  int chunk = int(std::clamp<int64_t>(12000000 / v, 8, 512));
  float* logits = c->scratch(shared, 2, size_t(chunk) * size_t(v));
  float* reference = with_kl ? c->scratch(shared, 3, size_t(chunk) * size_t(v)) : nullptr;
  for (int r0 = 0; r0 < a.n; r0 += chunk) {
    int rows = std::min(chunk, a.n - r0);
    t2_linear item{a.head, logits, v, nullptr, 0};
    if (int e = linear(c, a.hidden + int64_t(r0) * h, h, rows, &item, 1)) return e;
    if (with_kl) {
      t2_linear other{a.head, reference, v, nullptr, 0};
      if (int e = linear(c, a.reference + int64_t(r0) * h, h, rows, &other, 1)) return e;
    }
    int e = c->parallel(rows, [&](int i, int thread) {
      int row = r0 + i;
      float* l = logits + int64_t(i) * v;
      normaliser p = normalise(c, l, v);
      a.logprob[row] = l[a.target[row]] - p.lse;
      float weight = a.weight ? a.weight[row] : 0.f;
      if (!with_kl) {
        if (a.dhidden) {
          c->k.softmax_given(l, v, p.maximum, weight / p.sum, l);
          l[a.target[row]] -= weight;
        }
        return;
      }
      float* lr = reference + int64_t(i) * v;
      normaliser r = normalise(c, lr, v);
      float* pi = c->scratch(thread, 1, size_t(v));
      float* ref = c->scratch(thread, 2, size_t(v));
      float* gradient = nullptr;
      if (a.dhidden) {
        gradient = c->scratch(thread, 3, size_t(v));
        c->k.softmax_given(l, v, p.maximum, weight / p.sum, gradient);
        gradient[a.target[row]] -= weight;
      }
      a.kl[row] = row_kl(a.kl_direction, l, lr, p, r, v, a.kl_weight[row], pi, ref, gradient, c);
      if (gradient) std::copy(gradient, gradient + v, l);
    });
    if (e) return e;
    if (a.dhidden)
      if (int f = linear_backward(c, logits, v, rows, &a.head, a.dhidden + int64_t(r0) * h, h, 0)) return f;
  }
  return T2_OK;
}

}  // namespace t2::cpu
