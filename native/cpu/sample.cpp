// The sampler. A draw depends on (seed, sequence, position) and its own logits alone: Philox 4x32-10 is the counter-based generator
// (Salmon et al. 2011), so batching never changes a result.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend_cpu.h"
#include "t2/philox.h"

namespace t2::cpu {
namespace {

struct candidate {
  float p;
  int32_t id;
};

int32_t argmax(const float* x, int n) {
  int32_t best = 0;
  for (int i = 1; i < n; i++)
    if (x[i] > x[best]) best = i;
  return best;
}

void penalise(float* x, const t2_sample_row& row) {
  std::vector<int32_t> seen(row.seen, row.seen + row.seen_count);
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  for (int32_t t : seen) x[t] = x[t] > 0 ? x[t] / row.repetition_penalty : x[t] * row.repetition_penalty;
}

/// Walks the probabilities in order until `u` of their total is passed.
template <class P>
int32_t walk(int n, double u, double total, P p) {
  double target = u * total, sum = 0;
  int32_t last = 0;
  for (int i = 0; i < n; i++) {
    double w = p(i);
    if (w <= 0) continue;
    last = i;
    sum += w;
    if (sum > target) return i;
  }
  return last;
}

int32_t draw(t2_context* c, float* x, int n, const t2_sample_row& row) {
  int32_t best = argmax(x, n);
  float maximum = x[best];
  if (!std::isfinite(maximum)) return best;  // logits of a broken model: a token, and no distribution to draw from
  for (int i = 0; i < n; i++) x[i] = (x[i] - maximum) / row.temperature;  // ≤ 0, so that no temperature overflows
  c->k.softmax_given(x, n, 0.f, 1.f, x);                                  // the best token has weight 1
  double u = philox_uniform(row.seed, row.sequence, uint32_t(row.position));
  bool top_k = row.top_k > 0 && row.top_k < n, top_p = row.top_p < 1.f;
  if (!top_k && !top_p && row.min_p <= 0) {
    double total = 0;
    for (int i = 0; i < n; i++) total += x[i];
    return walk(n, u, total, [&](int i) { return double(x[i]); });
  }
  std::vector<candidate> kept;
  for (int i = 0; i < n; i++)
    if (x[i] >= row.min_p && x[i] > 0) kept.push_back({x[i], i});
  auto better = [](const candidate& a, const candidate& b) { return a.p != b.p ? a.p > b.p : a.id < b.id; };
  if (top_k && int(kept.size()) > row.top_k) {
    std::nth_element(kept.begin(), kept.begin() + row.top_k - 1, kept.end(), better);
    kept.resize(size_t(row.top_k));
  }
  std::sort(kept.begin(), kept.end(), better);
  double total = 0;
  for (auto& k : kept) total += k.p;
  if (top_p) {  // the smallest set that reaches top_p of what is left
    double sum = 0;
    size_t m = 0;
    while (m < kept.size() && (m == 0 || sum < double(row.top_p) * total)) sum += kept[m++].p;
    kept.resize(m);
    total = sum;
  }
  return kept[size_t(walk(int(kept.size()), u, total, [&](int i) { return double(kept[size_t(i)].p); }))].id;
}

}  // namespace

int sample(t2_context* c, float* logits, int32_t n, int32_t vocabulary, const t2_sample_row* rows, int32_t* ids, float* logprobs) {
  return c->parallel(n, [&](int i, int thread) {
    float* x = logits + int64_t(i) * vocabulary;
    const t2_sample_row& row = rows[i];
    float maximum = 0, lse = 0;
    if (logprobs) {
      float s = c->k.sum_exp(x, vocabulary, &maximum);
      lse = maximum + std::log(s);
    }
    float* work = c->scratch(thread, 1, size_t(vocabulary));
    std::copy(x, x + vocabulary, work);
    if (row.repetition_penalty != 1.f && row.seen_count > 0) penalise(work, row);
    ids[i] = row.temperature <= 0 ? argmax(work, vocabulary) : draw(c, work, vocabulary, row);
    if (logprobs) logprobs[i] = x[ids[i]] - lse;
  });
}

}  // namespace t2::cpu
