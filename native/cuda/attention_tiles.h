// The backward's tile of T rows (query heads) by T keys in a block's shared memory: loading, scores, weights and their gradients, products.
#pragma once
#include "attention_common.h"

namespace t2::cuda {
namespace {

using namespace nvcuda;

constexpr int threads = 128, warps = threads / warp_size;

/// Per (token, head): Σ dout · out, and the power of two that dout's row is divided by, since gradients may be too small for fp16.
struct row_sums {
  float *products, *powers;
};

// A tile of T rows (query heads) by T keys. S and dP lie where the two parts of the weights and of their gradients then go.
template <int T>
constexpr int score_stride = T + 4;
template <int T>
constexpr int weight_stride = T + 8;

template <int T>
struct tile_rows {
  float lse[T], products[T], powers[T];
  int position[T];
  attention_rows places[T];
};

template <int D, int T>
struct tile_memory {
  split_tile q, dout, k, v;
  float *s, *dp;
  split_tile p, ds;
  tile_rows<T>* rows;

  static constexpr int scores = 4 * T * weight_stride<T> * 2;
  static constexpr int bytes = 4 * tile_bytes<D>(T) + scores + int(sizeof(tile_rows<T>));
  static_assert(scores >= 2 * T * score_stride<T> * 4);

  __device__ explicit tile_memory(char* at) {
    constexpr int size = tile_bytes<D>(T), part = T * weight_stride<T>;
    q = tile_in<D>(at, T);
    dout = tile_in<D>(at + size, T);
    k = tile_in<D>(at + 2 * size, T);
    v = tile_in<D>(at + 3 * size, T);
    at += 4 * size;
    s = reinterpret_cast<float*>(at);
    dp = s + T * score_stride<T>;
    auto* halves = reinterpret_cast<__half*>(at);
    p = {halves, halves + part, weight_stride<T>};
    ds = {halves + 2 * part, halves + 3 * part, weight_stride<T>};
    rows = reinterpret_cast<tile_rows<T>*>(at + scores);
  }
};

// Rows [row, row + T) of a sequence of `query_count` queries: q' = q · scale · log2 e, dout / its power, and what belongs to the rows. A
// row behind the last has position −1 and so sees no key.
template <int D, int T>
__device__ void load_rows(const attention_view& a, const row_sums& sums, const tile_memory<D, T>& m, int query_begin, int query_count,
                          int position, int row, int kv_head) {
  const int count = min(T, query_count * a.per - row), begin = kv_head * a.per;
  auto offset_of = [&](int r) {
    return int64_t(query_begin + (row + r) / a.per) * a.q_stride + int64_t(begin + (row + r) % a.per) * a.head_dim;
  };
  if (int(threadIdx.x) < T) {
    const int r = int(threadIdx.x);
    const bool real = r < count;
    const int64_t i = real ? int64_t(query_begin + (row + r) / a.per) * a.heads + begin + (row + r) % a.per : 0;
    m.rows->position[r] = real ? position + (row + r) / a.per : -1;
    m.rows->lse[r] = real ? a.lse[i] * log2_e : 0.f;
    m.rows->products[r] = real ? sums.products[i] : 0.f;
    m.rows->powers[r] = real ? sums.powers[i] : 0.f;
  }
  __syncthreads();
  const float q_factor = a.scale * log2_e;
  fill_tile<D>(
      m.q, T, a.head_dim, a.vectors, [&](int r) { return r < count ? a.q + offset_of(r) : nullptr; }, [&](int) { return q_factor; });
  fill_tile<D>(
      m.dout, T, a.head_dim, a.vectors, [&](int r) { return r < count ? a.dout + offset_of(r) : nullptr; },
      [&](int r) { return r < count ? 1 / m.rows->powers[r] : 0.f; });
}

// S = 16 · q' k'ᵀ in units of log2, and dP / 16 of the scaled dout, one fragment per warp at a time.
template <int D, int T>
__device__ void score_tiles(const tile_memory<D, T>& m) {
  constexpr int side = T / 16, fragments = side * side;
  for (int i = int(threadIdx.x) / warp_size; i < 2 * fragments; i += warps) {
    const bool slopes = i >= fragments;
    const int row = i % fragments / side * 16, key = i % side * 16;
    const split_tile left_tile = (slopes ? m.dout : m.q).at(row, 0), right_tile = (slopes ? m.v : m.k).at(key, 0);
    sum_fragment main, cross;
    wmma::fill_fragment(main, 0.f);
    wmma::fill_fragment(cross, 0.f);
#pragma unroll 2
    for (int d = 0; d < D; d += 16) {
      left_fragment<wmma::row_major> left, left_low;
      right_fragment<wmma::col_major> right, right_low;
      load_split(left, left_low, left_tile.at(0, d));
      load_split(right, right_low, right_tile.at(0, d));
      split_product(main, cross, left, left_low, right, right_low);
    }
    const float factor = slopes ? 1.f : 1 / kv_factor;
    for (int j = 0; j < main.num_elements; j++) main.x[j] = (main.x[j] + cross.x[j] * (1 / low_factor)) * factor;
    wmma::store_matrix_sync((slopes ? m.dp : m.s) + row * score_stride<T> + key, main, score_stride<T>, wmma::mem_row_major);
  }
}

// From S and dP to P and dS / (16 · the row's power), each multiplied with factor(row). The keys are the positions first_key ….
template <int D, int T, class F>
__device__ void weigh(const attention_view& a, const tile_memory<D, T>& m, int first_key, int keys, F factor) {
  constexpr int each = T * T / threads, per_row = T / each;
  const int r = int(threadIdx.x) / per_row, begin = int(threadIdx.x) % per_row * each;
  const float power = m.rows->powers[r], f = factor(r);
  const float mean = power > 0 ? m.rows->products[r] * (kv_factor / power) : 0.f;
  float p[each], ds[each];
#pragma unroll
  for (int i = 0; i < each; i++) {
    const int key = begin + i, at = r * score_stride<T> + key;
    const bool seen = key < keys && sees(a, m.rows->position[r], first_key + key);
    p[i] = seen ? exp2f(m.s[at] - m.rows->lse[r]) * f : 0.f;
    ds[i] = seen ? p[i] * (m.dp[at] - mean) : 0.f;
  }
  __syncthreads();  // all scores are read
#pragma unroll
  for (int i = 0; i < each; i++) {
    const int at = r * weight_stride<T> + begin + i;
    split(p[i], m.p.high[at], m.p.low[at]);
    split(ds[i], m.ds.high[at], m.ds.low[at]);
  }
  __syncthreads();
}

// A warp's fragments of a [T, D] result: one row of fragments, and of its columns every `step`-th.
template <int D, int T>
struct fragment_share {
  static constexpr int side = T / 16, step = warps / side, most = (D / 16 + step - 1) / step;
  int row, column;
  __device__ fragment_share() : row(int(threadIdx.x) / warp_size / step * 16), column(int(threadIdx.x) / warp_size % step * 16) {}
  __device__ int column_of(int i) const { return column + i * step * 16; }
  __device__ bool has(int i) const { return column_of(i) < D; }
};

// sums += factor · left [T, T] · right [T, D], of left or of its transpose
template <class Layout, int D, int T, int N>
__device__ void add_product(const fragment_share<D, T>& share, sum_fragment (&sums)[N], const split_tile& left_tile,
                            const split_tile& right_tile, float factor) {
#pragma unroll
  for (int i = 0; i < N; i++) {
    if (!share.has(i)) continue;
    __syncwarp();  // keeps the compiler from loading more than the registers hold
    sum_fragment main, cross;
    wmma::fill_fragment(main, 0.f);
    wmma::fill_fragment(cross, 0.f);
#pragma unroll
    for (int k = 0; k < T; k += 16) {
      left_fragment<Layout> left, left_low;
      right_fragment<wmma::row_major> right, right_low;
      load_split(left, left_low, std::is_same_v<Layout, wmma::row_major> ? left_tile.at(share.row, k) : left_tile.at(k, share.row));
      load_split(right, right_low, right_tile.at(k, share.column_of(i)));
      split_product(main, cross, left, left_low, right, right_low);
    }
    for (int j = 0; j < main.num_elements; j++) sums[i].x[j] += (main.x[j] + cross.x[j] * (1 / low_factor)) * factor;
  }
}

// f(row, column, value) for a [T, D] result, by way of shared memory [T, D + 4].
template <int D, int T, int N, class F>
__device__ void give_out(const fragment_share<D, T>& share, sum_fragment (&sums)[N], float* shared, int size, F f) {
  __syncthreads();
#pragma unroll
  for (int i = 0; i < N; i++)
    if (share.has(i)) wmma::store_matrix_sync(shared + share.row * (D + 4) + share.column_of(i), sums[i], D + 4, wmma::mem_row_major);
  __syncthreads();
  for (int i = int(threadIdx.x); i < T * D; i += threads)
    if (i % D < size) f(i / D, i % D, shared[i / D * (D + 4) + i % D]);
}

}  // namespace
}  // namespace t2::cuda
