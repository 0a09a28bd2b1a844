// Searches in a row of weights in (0, 1] by one block, for sample.cu: where a running sum, in order of index or of weight, passes a value.
// Sums are integers at a fixed binary point: exact, whatever their order.
#pragma once
#include "device.h"

namespace t2::cuda {

using mass = unsigned long long;

/// w at `point` binary places (at least 23), rounded down. By shifts: conversions to 64 bits are slow on many devices.
__device__ inline mass fixed(float w, int point) {
  const unsigned bits = __float_as_uint(w);
  const int shift = int(bits >> 23) - 150 + point;  // w = significand · 2^(exponent − 150), w ≥ 0
  const mass significand = (bits & 0x7fffffu) | 0x800000u;
  return shift >= 0 ? significand << shift : shift > -24 ? significand >> -shift : 0;
}

/// The value that running sums must pass to be beyond `part` (< 1) of the total.
__device__ inline mass part_of(mass total, double part) {
  const mass at = mass(part * double(total));
  return at < total ? at : total - 1;
}

/// The least sum that reaches `part` of the total; at least 1, at most the total.
__device__ inline mass at_least(mass total, float part) {
  const double least = ceil(double(part) * double(total));
  return least < 1 ? 1 : least < double(total) ? mass(least) : total;
}

struct tally {
  mass sum;
  int count;
};

/// Of the weights that are at least `least`.
static __device__ inline tally mass_from(const float* w, int n, float least, int point) {
  mass sum = 0;
  int count = 0;
  for (int i = int(threadIdx.x); i < n; i += int(blockDim.x))
    if (w[i] >= least && w[i] > 0) {
      sum += fixed(w[i], point);
      count++;
    }
  return {block_sum(sum), block_sum(count)};
}

/// Sums of the lanes up to and with the thread's own.
__device__ inline mass warp_running_sum(mass x) {
  const int lane = int(threadIdx.x) % warp_size;
  for (int step = 1; step < warp_size; step *= 2) {
    mass before = __shfl_up_sync(full_mask, x, unsigned(step));
    if (lane >= step) x += before;
  }
  return x;
}

/// The first of n indices at which the running sum of measure(i) passes x, which is less than the sum of all. Every warp sums a stretch,
/// then the stretch that holds the place is taken apart in the same way.
template <class M>
static __device__ inline int first_beyond(int n, mass x, M measure) {
  T2_SHARED(mass, sums, warp_size);
  const int lane = int(threadIdx.x) % warp_size, warp = int(threadIdx.x) / warp_size, warps = int(blockDim.x) / warp_size;
  int begin = 0;
  while (n > 2 * warp_size && warps > 1) {
    const int part = ((n + warps - 1) / warps + warp_size - 1) / warp_size * warp_size;
    const int end = min(n, (warp + 1) * part);
    mass sum = 0;
    for (int i = warp * part + lane; i < end; i += warp_size) sum += measure(begin + i);
    sum = warp_sum(sum);
    __syncthreads();
    if (lane == 0) sums[warp] = sum;
    __syncthreads();
    int k = 0;
    for (; k < warps - 1 && x >= sums[k]; k++) x -= sums[k];
    begin += k * part;
    n = min(part, n - k * part);
  }
  for (int from = 0; from < n; from += warp_size) {
    const mass sum = warp_running_sum(from + lane < n ? measure(begin + from + lane) : 0);
    const unsigned beyond = __ballot_sync(full_mask, sum > x);
    if (beyond) return begin + from + __ffs(int(beyond)) - 1;
    x -= __shfl_sync(full_mask, sum, warp_size - 1);
  }
  return begin + n - 1;
}

/// Weights in order of id; id is null where the index is the id.
struct ranked {
  const float* weight;
  const int32_t* id;
  int count;
};

/// In order of (weight descending, id ascending): after `before` of those with more weight, the rank-th of equal ones.
struct place {
  unsigned bits;  // of the weight
  mass rank;
};

/// Where the running sum of measure(weight), in that order, passes x, which is less than the sum of all. By bisection on the bits of the
/// weight, which for numbers above 0 are in the order of the numbers.
template <class M>
static __device__ inline place locate(const ranked& all, mass x, M measure) {
  unsigned low = 1, high = 0x3f800000u;  // low holds: the sum of weights of at least `low` passes x
  mass before = 0;                       // of weights above `high`
  while (low < high) {
    const unsigned middle = low + (high - low + 1) / 2;
    mass sum = 0;
    for (int i = int(threadIdx.x); i < all.count; i += int(blockDim.x))
      if (__float_as_uint(all.weight[i]) >= middle) sum += measure(all.weight[i]);
    sum = block_sum(sum);
    if (sum > x) {
      low = middle;
    } else {
      high = middle - 1;
      before = sum;
    }
  }
  return {low, (x - before) / measure(__uint_as_float(low))};
}

/// Sum of everything up to and with a place.
static __device__ inline mass mass_above(const ranked& all, const place& at, int point) {
  mass sum = 0;
  for (int i = int(threadIdx.x); i < all.count; i += int(blockDim.x))
    if (__float_as_uint(all.weight[i]) > at.bits) sum += fixed(all.weight[i], point);
  return block_sum(sum) + (at.rank + 1) * fixed(__uint_as_float(at.bits), point);
}

constexpr int near_capacity = 4096;

/// Room for near_capacity candidates in shared memory.
struct candidates {
  float* weight;
  int32_t* id;
};

/// The weights near 1, where at least `count` of them, with a mass of at least `sum`, fit in `room`; else the whole row.
static __device__ inline ranked gather_near(const float* w, int n, int point, int count, mass sum, const candidates& room) {
  T2_SHARED(int, counts, warp_size);
  float least = 0;
  for (float limit = 0x1p-6f; limit >= 0x1p-24f; limit *= limit) {
    const tally t = mass_from(w, n, limit, point);
    if (t.count > near_capacity) break;
    if (count > 0 ? t.count < count : t.sum < sum) continue;
    least = limit;
    break;
  }
  if (least == 0) return {w, nullptr, n};
  const int lane = int(threadIdx.x) % warp_size, warp = int(threadIdx.x) / warp_size, warps = int(blockDim.x) / warp_size;
  const int part = ((n + warps - 1) / warps + warp_size - 1) / warp_size * warp_size, begin = warp * part, end = min(n, begin + part);
  int mine = 0;
  for (int i = begin; i < end; i += warp_size) mine += __popc(__ballot_sync(full_mask, i + lane < end && w[i + lane] >= least));
  if (lane == 0) counts[warp] = mine;
  __syncthreads();
  int to = 0, all = 0;
  for (int k = 0; k < warps; k++) {
    if (k == warp) to = all;
    all += counts[k];
  }
  for (int i = begin; i < end; i += warp_size) {
    const bool in = i + lane < end && w[i + lane] >= least;
    const unsigned which = __ballot_sync(full_mask, in);
    if (in) {
      const int at = to + __popc(which & ((1u << lane) - 1));
      room.weight[at] = w[i + lane];
      room.id[at] = i + lane;
    }
    to += __popc(which);
  }
  __syncthreads();
  return {room.weight, room.id, all};
}

}  // namespace t2::cuda
