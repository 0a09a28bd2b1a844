// Attention for one query per sequence: bound by the reading of keys and values, in plain fp32. The keys of a sequence are shared out to
// blocks in splits that begin at multiples of their size, which follows from the sequence's own length; a second kernel joins the parts in
// order. Grid and arguments follow from the power of two of the longest table alone, so a graph can be replayed while sequences grow.
#include <algorithm>
#include <bit>

#include "attention_common.h"
#include "launch.h"

namespace t2::cuda {

// kernels

namespace {

constexpr int threads = 128, lanes = 16, slots = threads / lanes;  // sixteen lanes share a key
constexpr int split_tile_keys = 256, most_splits = 32;
constexpr int most_parts = most_splits + 1;  // a window may begin and end within a split

struct split_plan {
  int keys, lowest, size, first, count;  // keys per split, the first split that holds any, how many do
};

__device__ split_plan plan_splits(const attention_view& a, const attention_sequence& s) {
  split_plan p;
  p.keys = s.position + 1;
  p.lowest = lowest_key(a, s.position);
  p.size = split_tile_keys;
  while (p.size * most_splits < p.keys - p.lowest) p.size *= 2;
  p.first = p.lowest / p.size;
  p.count = (p.keys - 1) / p.size - p.first + 1;
  return p;
}

__device__ float4 times(float4 x, float f) { return make_float4(x.x * f, x.y * f, x.z * f, x.w * f); }
__device__ float dot(float4 x, float4 y, float sum) { return fmaf(x.w, y.w, fmaf(x.z, y.z, fmaf(x.y, y.y, fmaf(x.x, y.x, sum)))); }
__device__ void add(float4& sum, float p, float4 x) {
  sum.x = fmaf(p, x.x, sum.x);
  sum.y = fmaf(p, x.y, sum.y);
  sum.z = fmaf(p, x.z, sum.z);
  sum.w = fmaf(p, x.w, sum.w);
}

// A lane's share of a row of keys or values; zeros where there is no row.
template <int E>
__device__ void fetch(const attention_view& a, const float* row, int64_t column, int lane, float4 (&to)[E]) {
#pragma unroll
  for (int e = 0; e < E; e++)
    to[e] = row ? row_part(row + column, (e * lanes + lane) * 4, a.head_dim, a.vectors) : make_float4(0.f, 0.f, 0.f, 0.f);
}

// Per row (sequence, head) and split: its sums of weighted values [head_dim], and (maximum, sum of weights) in units of log2.
struct decode_parts {
  float* values;
  float2* softmax;
  int64_t stride;  // parts per row
};

// grid: (key head, chunk of its G query heads), sequences, splits. E float4s of a key per lane.
template <int G, int E>
__global__ void T2_LAUNCH_BOUNDS(threads, 2) decode_kernel(attention_view a, decode_parts parts, int chunks) {
  T2_SHARED(attention_rows, places, split_tile_keys);
  T2_SHARED(float, scores, G* split_tile_keys);
  T2_SHARED(float, joined, threads / warp_size * G * E * lanes * 4);
  T2_SHARED(float, maximum, G);
  T2_SHARED(float, weight, G);
  T2_SHARED(float, factor, G);
  constexpr int U = E > 2 ? 1 : 2;  // keys under way per lane
  const int lane = int(threadIdx.x) % lanes, slot = int(threadIdx.x) / lanes;
  const int warp = int(threadIdx.x) / warp_size, warp_lane = int(threadIdx.x) % warp_size;
  const int kv_head = int(blockIdx.x) / chunks, begin_head = int(blockIdx.x) % chunks * G;
  const int heads = min(G, a.per - begin_head), first_head = kv_head * a.per + begin_head;
  const attention_sequence s = a.sequences[blockIdx.y];
  const split_plan plan = plan_splits(a, s);
  const int64_t column = int64_t(kv_head) * a.head_dim;

  float4 q[G][E];
#pragma unroll
  for (int g = 0; g < G; g++)
#pragma unroll
    for (int e = 0; e < E; e++) {
      const float* row = a.q + s.query_begin * a.q_stride + int64_t(first_head + g) * a.head_dim;
      q[g][e] = g < heads ? times(row_part(row, (e * lanes + lane) * 4, a.head_dim, a.vectors), a.scale * log2_e)
                          : make_float4(0.f, 0.f, 0.f, 0.f);
    }

  for (int split = int(blockIdx.z); split < plan.count; split += int(gridDim.z)) {
    const int split_begin = (plan.first + split) * plan.size;
    const int begin = max(plan.lowest, split_begin), end = min(plan.keys, split_begin + plan.size);
    float4 sums[G][E];
#pragma unroll
    for (int g = 0; g < G; g++)
#pragma unroll
      for (int e = 0; e < E; e++) sums[g][e] = make_float4(0.f, 0.f, 0.f, 0.f);
    __syncthreads();  // the last split's results are read
    if (int(threadIdx.x) < G) {
      maximum[threadIdx.x] = minus_infinity;
      weight[threadIdx.x] = 0;
    }
    for (int key = begin / split_tile_keys * split_tile_keys; key < end; key += split_tile_keys) {
      const int count = min(split_tile_keys, end - key);
      __syncthreads();
      for (int i = int(threadIdx.x); i < split_tile_keys; i += threads)
        places[i] = key + i >= begin && key + i < end ? locate(a, s, key + i) : attention_rows{nullptr, nullptr};
      __syncthreads();

      for (int i = slot; i - slot < count; i += U * slots) {
        float4 k[U][E];
#pragma unroll
        for (int u = 0; u < U; u++) fetch<E>(a, places[i + u * slots].k, column, lane, k[u]);
#pragma unroll
        for (int u = 0; u < U; u++)
#pragma unroll
          for (int g = 0; g < G; g++) {
            float score = 0;
#pragma unroll
            for (int e = 0; e < E; e++) score = dot(q[g][e], k[u][e], score);
#pragma unroll
            for (int step = lanes / 2; step; step /= 2) score += __shfl_xor_sync(full_mask, score, step);
            if (lane == 0) scores[g * split_tile_keys + i + u * slots] = places[i + u * slots].k ? score : minus_infinity;
          }
      }
      __syncthreads();

      for (int g = warp; g < G; g += threads / warp_size) {
        float* mine = scores + g * split_tile_keys;
        float most = minus_infinity, sum = 0;
        for (int i = warp_lane; i < count; i += warp_size) most = fmaxf(most, mine[i]);
        const float before = maximum[g];
        most = fmaxf(before, warp_max(most));  // finite: every tile has a key that is seen
        for (int i = warp_lane; i < count; i += warp_size) {
          mine[i] = exp2f(mine[i] - most);
          sum += mine[i];
        }
        sum = warp_sum(sum);
        __syncwarp();
        if (warp_lane == 0) {
          factor[g] = exp2f(before - most);
          weight[g] = weight[g] * factor[g] + sum;
          maximum[g] = most;
        }
      }
      __syncthreads();

#pragma unroll
      for (int g = 0; g < G; g++)
#pragma unroll
        for (int e = 0; e < E; e++) sums[g][e] = times(sums[g][e], factor[g]);
      for (int i = slot; i < count; i += U * slots) {
        float4 v[U][E];
#pragma unroll
        for (int u = 0; u < U; u++) fetch<E>(a, places[i + u * slots].v, column, lane, v[u]);
#pragma unroll
        for (int u = 0; u < U; u++)
#pragma unroll
          for (int g = 0; g < G; g++) {
            const float p = places[i + u * slots].v ? scores[g * split_tile_keys + i + u * slots] : 0.f;
#pragma unroll
            for (int e = 0; e < E; e++) add(sums[g][e], p, v[u][e]);
          }
      }
    }

    // The slots' sums: the two of a warp, then the warps in order.
#pragma unroll
    for (int g = 0; g < G; g++)
#pragma unroll
      for (int e = 0; e < E; e++) {
        float4 x = sums[g][e];
        x.x += __shfl_xor_sync(full_mask, x.x, lanes);
        x.y += __shfl_xor_sync(full_mask, x.y, lanes);
        x.z += __shfl_xor_sync(full_mask, x.z, lanes);
        x.w += __shfl_xor_sync(full_mask, x.w, lanes);
        if (warp_lane < lanes) store4(joined + (((warp * G + g) * E + e) * lanes + lane) * 4, x);
      }
    __syncthreads();
    for (int i = int(threadIdx.x); i < heads * E * lanes * 4; i += threads) {
      const int g = i / (E * lanes * 4), d = i % (E * lanes * 4);
      if (d >= a.head_dim) continue;
      float sum = 0;
      for (int w = 0; w < threads / warp_size; w++) sum += joined[w * G * E * lanes * 4 + i];
      if (parts.stride) parts.values[((int64_t(blockIdx.y) * a.heads + first_head + g) * parts.stride + split) * a.head_dim + d] = sum;
      else a.out[s.query_begin * a.q_stride + int64_t(first_head + g) * a.head_dim + d] = sum * (1 / weight[g]);
    }
    if (int(threadIdx.x) < heads) {
      const int g = int(threadIdx.x), head = first_head + g;
      if (parts.stride) parts.softmax[(int64_t(blockIdx.y) * a.heads + head) * parts.stride + split] = make_float2(maximum[g], weight[g]);
      else if (a.lse) a.lse[int64_t(s.query_begin) * a.heads + head] = ln_2 * (maximum[g] + log2f(weight[g]));
    }
  }
}

// grid: heads, sequences
__global__ void T2_LAUNCH_BOUNDS(threads, 1) join_kernel(attention_view a, decode_parts parts) {
  const attention_sequence s = a.sequences[blockIdx.y];
  const split_plan plan = plan_splits(a, s);
  const int64_t row = int64_t(blockIdx.y) * a.heads + blockIdx.x;
  const float2* softmax = parts.softmax + row * parts.stride;
  float maximum = minus_infinity, weight = 0;
  for (int i = 0; i < plan.count; i++) maximum = fmaxf(maximum, softmax[i].x);
  for (int i = 0; i < plan.count; i++) weight = fmaf(softmax[i].y, exp2f(softmax[i].x - maximum), weight);
  for (int d = int(threadIdx.x); d < a.head_dim; d += threads) {
    float sum = 0;
    for (int i = 0; i < plan.count; i++)
      sum = fmaf(parts.values[(row * parts.stride + i) * a.head_dim + d], exp2f(softmax[i].x - maximum), sum);
    a.out[s.query_begin * a.q_stride + int64_t(blockIdx.x) * a.head_dim + d] = sum * (1 / weight);
  }
  if (a.lse && threadIdx.x == 0) a.lse[int64_t(s.query_begin) * a.heads + blockIdx.x] = ln_2 * (maximum + log2f(weight));
}

}  // namespace

// launchers

int attention_decode(t2_context* c, const t2_attention& a, const std::vector<int32_t>& which) {
  attention_view view;
  T2_TRY(attention_tables(c, a, which, &view));
  int64_t capacity = 1;  // positions that the longest table has room for
  for (int32_t i : which) {
    const t2_sequence& s = a.sequences[i];
    int64_t room = 0;
    for (int j = 0; j < s.segment_count; j++) room += a.segments[s.segment_begin + j].count;
    capacity = std::max(capacity, room);
  }
  const auto tiles = [](int64_t keys) { return int64_t(std::bit_ceil(uint64_t(keys + split_tile_keys - 1) / split_tile_keys)); };
  const int64_t most = tiles(capacity);
  int64_t splits = std::min<int64_t>(most, most_splits);
  if (view.window) splits = std::min(splits, tiles(view.window) + 1);

  // Without a second split the block itself finishes the rows, with the bits that the joining of one part would give.
  decode_parts parts{};
  if (most > 1) {
    parts.stride = std::min<int64_t>(most, most_parts);
    const int64_t rows = int64_t(which.size()) * a.heads * parts.stride;
    T2_SCRATCH(values, scratch_attention, rows * a.head_dim);
    T2_SCRATCH(softmax, scratch_attention_b, rows * 2);
    parts.values = values;
    parts.softmax = reinterpret_cast<float2*>(softmax);
  }
  const auto run = [&](auto group, auto width) {
    constexpr int G = decltype(group)::value, E = decltype(width)::value;
    const int chunks = (view.per + G - 1) / G;
    return launch(c, decode_kernel<G, E>, dim3(unsigned(a.kv_heads * chunks), unsigned(which.size()), unsigned(splits)), dim3(threads), 0,
                  view, parts, chunks);
  };
  const auto with_group = [&](auto width) {
    if (view.per == 1) return run(size_tag<1>{}, width);
    if (view.per == 2) return run(size_tag<2>{}, width);
    if constexpr (decltype(width)::value <= 2)
      if (view.per > 4) return run(size_tag<8>{}, width);
    return run(size_tag<4>{}, width);
  };
  const int status = a.head_dim <= 64    ? with_group(size_tag<1>{})
                     : a.head_dim <= 128 ? with_group(size_tag<2>{})
                                         : with_group(size_tag<4>{});
  if (status || !parts.stride) return status;
  return launch(c, join_kernel, dim3(unsigned(a.heads), unsigned(which.size())), dim3(threads), 0, view, parts);
}

}  // namespace t2::cuda
