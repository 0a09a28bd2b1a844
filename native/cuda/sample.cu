// The sampler. One block per row; a draw depends on (seed, sequence, position) and its own logits alone. Weights are e^((x − maximum) /
// temperature), and are summed as integers: the order of a sum then does not matter, and parts of it are exact. The token is the one that a
// walk over the sorted weights would stop at (the CPU's way), found without sorting.
#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "launch.h"
#include "operators.h"
#include "sample_search.h"
#include "softmax.h"
#include "t2/philox.h"

namespace t2::cuda {

// kernels

namespace {

/// What a row needs on the device. Steps of a graph differ in the values only.
struct row_parameters {
  double u;  // uniform in [0, 1)
  float temperature, top_p, min_p, penalty;
  int32_t top_k;
  int32_t seen_begin, seen_count;  // distinct ids, when there is a penalty
};

/// Lowest index of the largest value, as a scan from the left finds it: other NaNs are passed over, but the first value is only given up
/// for something larger, so a NaN there stays.
__device__ int argmax(const float* x, int n) {
  unsigned long long best = 0;
  for (int j = int(threadIdx.x); j < n; j += int(blockDim.x)) {
    float v = x[j];
    if (isnan(v)) continue;
    unsigned bits = __float_as_uint(v == 0.f ? 0.f : v);  // −0 equals 0
    unsigned order = bits >> 31 ? ~bits : bits | 0x80000000u;
    unsigned long long key = static_cast<unsigned long long>(order) << 32 | (0xffffffffu - unsigned(j));
    best = key > best ? key : best;
  }
  best = block_max(best, 0ull);
  return isnan(x[0]) ? 0 : int(0xffffffffu - unsigned(best));
}

/// x with the penalty of its seen tokens, in `work`.
__device__ void penalise(const float* x, int n, const row_parameters& row, const int32_t* seen, float* work) {
  for (int j = int(threadIdx.x); j < n; j += int(blockDim.x)) work[j] = x[j];
  __syncthreads();
  for (int i = int(threadIdx.x); i < row.seen_count; i += int(blockDim.x)) {
    float* at = work + seen[row.seen_begin + i];
    *at = *at > 0 ? *at / row.penalty : *at * row.penalty;
  }
  __syncthreads();
}

/// A token from the weights w [n], the largest of which is 1; the sum of all is below 2^63 at `point` binary places.
__device__ int draw(const float* w, int n, const row_parameters& row, int point, const candidates& near) {
  const tally reached = mass_from(w, n, row.min_p, point);
  mass total = reached.sum > 0 ? reached.sum : 1;  // nothing reaches a min_p above 1: the best
  const bool top_k = row.top_k > 0 && row.top_k < n, top_p = row.top_p < 1.f;
  if (!top_k && !top_p && row.min_p <= 0) return first_beyond(n, part_of(total, row.u), [&](int i) { return fixed(w[i], point); });
  // In order of weight all filters keep a beginning of the sequence, so that only its length, `total`, changes; what is drawn is near the
  // top, mostly: those candidates are enough where they hold what is sought.
  const mass needed = top_p ? at_least(total, row.top_p) : part_of(total, row.u) + 1;
  const bool cuts = top_k && row.top_k < reached.count;
  const ranked all = gather_near(w, n, point, cuts ? row.top_k : 0, needed, near);
  if (cuts) {
    place last = locate(all, mass(row.top_k - 1), [](float) { return mass(1); });
    mass kept = mass_above(all, last, point);
    total = kept < total ? kept : total;
  }
  if (top_p) {  // the smallest set that reaches top_p of what is left
    auto measure = [&](float x) { return fixed(x, point); };
    total = mass_above(all, locate(all, at_least(total, row.top_p) - 1, measure), point);
  }
  place chosen = locate(all, part_of(total, row.u), [&](float x) { return fixed(x, point); });
  int i = first_beyond(all.count, chosen.rank, [&](int k) { return mass(__float_as_uint(all.weight[k]) == chosen.bits); });
  return all.id ? all.id[i] : i;
}

__global__ void T2_LAUNCH_BOUNDS(1024, 1) sample_rows(const float* logits, int vocabulary, int point, const row_parameters* rows,
                                                      const int32_t* seen, float* work, int32_t* ids, float* logprobs) {
  T2_SHARED(float, near_weights, near_capacity);
  T2_SHARED(int32_t, near_ids, near_capacity);
  const row_parameters row = rows[blockIdx.x];
  const float *x = logits + int64_t(blockIdx.x) * vocabulary, *penalised = x;
  float* w = work + int64_t(blockIdx.x) * vocabulary;
  if (row.seen_count > 0) {
    penalise(x, vocabulary, row, seen, w);
    penalised = w;
  }
  int id = argmax(penalised, vocabulary);
  const float maximum = penalised[id];
  if (row.temperature > 0 && isfinite(maximum)) {  // else greedy, or logits of a broken model: no distribution to draw from
    __syncthreads();                               // the maximum has been read
    for (int j = int(threadIdx.x); j < vocabulary; j += int(blockDim.x))
      w[j] = exp_of((penalised[j] - maximum) / row.temperature);  // ≤ 0, so that no temperature overflows
    __syncthreads();
    id = draw(w, vocabulary, row, point, {near_weights, near_ids});
  }
  float logprob = logprobs ? x[id] - normalise(x, vocabulary).lse : 0.f;
  if (threadIdx.x) return;
  ids[blockIdx.x] = id;
  if (logprobs) logprobs[blockIdx.x] = logprob;
}

}  // namespace

// launchers

static int download(t2_context* c, void* to, const void* from, size_t bytes) {
  if (c->graphs.active()) c->graphs.download_at_end(to, from, bytes);
  else T2_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, c->stream));
  return T2_OK;
}

int sample(t2_context* c, float* logits, int32_t n, int32_t vocabulary, const t2_sample_row* rows, int32_t* ids, float* logprobs) {
  if (n <= 0) return T2_OK;
  std::vector<row_parameters> parameters;
  std::vector<int32_t> seen;
  for (int32_t i = 0; i < n; i++) {
    const t2_sample_row& r = rows[i];
    size_t begin = seen.size();
    if (r.repetition_penalty != 1.f && r.seen_count > 0) {
      seen.insert(seen.end(), r.seen, r.seen + r.seen_count);
      auto first = seen.begin() + ptrdiff_t(begin);
      std::sort(first, seen.end());
      seen.erase(std::unique(first, seen.end()), seen.end());
    }
    parameters.push_back({philox_uniform(r.seed, r.sequence, uint32_t(r.position)), r.temperature, r.top_p, r.min_p, r.repetition_penalty,
                          r.top_k, int32_t(begin), int32_t(seen.size() - begin)});
  }
  // Lists grow with every token: a size that seldom changes keeps a graph's recording.
  if (c->graphs.active() && !seen.empty()) seen.resize(std::bit_ceil(std::max<size_t>(seen.size(), 256)));
  const row_parameters* staged = nullptr;
  const int32_t* staged_seen = nullptr;
  T2_TRY(c->stage(parameters.data(), parameters.size(), &staged));
  if (!seen.empty()) T2_TRY(c->stage(seen.data(), seen.size(), &staged_seen));
  T2_SCRATCH(work, scratch_sample, size_t(n) * size_t(vocabulary));
  T2_SCRATCH(out, scratch_sample_out, 2 * size_t(n));
  auto* device_ids = reinterpret_cast<int32_t*>(out);
  float* device_logprobs = logprobs ? out + n : nullptr;
  const int point = 62 - int(std::bit_width(unsigned(vocabulary)));
  T2_TRY(launch(c, sample_rows, unsigned(n), row_threads(vocabulary), 0, logits, vocabulary, point, staged, staged_seen, work, device_ids,
                device_logprobs));
  T2_TRY(download(c, ids, device_ids, size_t(n) * 4));
  if (logprobs) T2_TRY(download(c, logprobs, device_logprobs, size_t(n) * 4));
  return c->graphs.active() ? T2_OK : c->synchronize();
}

}  // namespace t2::cuda
