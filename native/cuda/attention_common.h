// What the attention kernels share: the staged tables that say where a sequence's keys lie, and products in split precision.
//
// Split precision: a product of fp32 tiles on tensor cores. Each operand is x = high + low / 2048 with both parts fp16, so that the pair
// holds 22 bits, and three products (high·high, high·low, low·high) are summed in fp32: relative errors of about 2^-21, a third of the
// tensor cores' speed. `low` is kept 2048 times larger than it is, so small values do not lose it among fp16's subnormals; keys and values
// are taken at a sixteenth of their size. Magnitudes from about 1e-4 to 1e6 are safe; larger ones end as NaN, never as a wrong number.
#pragma once
#include <vector>

#include "context.h"
#include "device.h"

namespace t2::cuda {

/// The keys and values of a segment's first position, of the layer that the call is about.
struct attention_rows {
  const float *k, *v;
};

/// A sequence on the device: its segments are [table, table + segments) of the call's; `block` is the count of all of them but the last
/// where they are alike (a cache), else 0.
struct attention_sequence {
  int32_t query_begin, query_count, position, table, segments, block;
};

/// Rows [row, …) of a sequence: the queries' heads that share a key head, row = query · per + head.
struct attention_tile {
  int32_t sequence, row;
};

/// What kernels get. No padding between members: launches are compared byte by byte.
struct attention_view {
  const float* q;
  float *out, *lse;
  const float* dout;
  float* dq;
  const attention_sequence* sequences;
  const attention_rows* table;
  const int32_t* starts;  // how many keys the segments before have, of whatever sequence; null when every sequence has a `block`
  int64_t q_stride, kv_stride;
  int32_t heads, kv_heads, per, head_dim, window, sequence_count;
  float scale;
  int32_t vectors;  // 1: rows of q, k, v and what is written may be read four floats at a time
};
static_assert(sizeof(attention_view) == 8 * 8 + 2 * 8 + 8 * 4);

/// attention.cu: the sequences `which` of a call with their tables, staged.
int attention_tables(t2_context* c, const t2_attention& a, const std::vector<int32_t>& which, attention_view* view);
/// Tiles of `rows` rows of all sequences of `which`, those with the most keys first, staged.
int attention_tiles(t2_context* c, const t2_attention& a, const std::vector<int32_t>& which, int rows, const attention_tile** tiles,
                    int* count);

// attention_prefill.cu, attention_decode.cu
int attention_prefill(t2_context* c, const t2_attention& a, const std::vector<int32_t>& which);
int attention_decode(t2_context* c, const t2_attention& a, const std::vector<int32_t>& which);

/// f(size_tag<D>{}) for the smallest D that holds the head.
template <int N>
struct size_tag {
  static constexpr int value = N;
};
template <class F>
int with_head_size(int head_dim, F&& f) {
  if (head_dim <= 16) return f(size_tag<16>{});
  if (head_dim <= 32) return f(size_tag<32>{});
  if (head_dim <= 64) return f(size_tag<64>{});
  if (head_dim <= 80) return f(size_tag<80>{});
  if (head_dim <= 96) return f(size_tag<96>{});
  if (head_dim <= 128) return f(size_tag<128>{});
  return f(size_tag<256>{});
}

constexpr float log2_e = 1.4426950408889634f, ln_2 = 0.6931471805599453f;
constexpr float minus_infinity = -INFINITY;

/// Whether a query at `position` sees the key at `key`.
__device__ inline bool sees(const attention_view& a, int position, int key) {
  return key <= position && (a.window == 0 || key > position - a.window);
}

/// The lowest position that a query at `position` sees.
__device__ inline int lowest_key(const attention_view& a, int position) { return a.window ? max(0, position - a.window + 1) : 0; }

/// Where the key and value of one position of a sequence lie.
__device__ inline attention_rows locate(const attention_view& a, const attention_sequence& s, int position) {
  int i = 0, start = 0;
  if (s.block) {
    i = min(position / s.block, s.segments - 1);
    start = i * s.block;
  } else {
    const int32_t* starts = a.starts + s.table;
    const int32_t key = starts[0] + position;
    for (int end = s.segments; end - i > 1;) {  // starts[i] ≤ key < starts[end]
      int middle = (i + end) / 2;
      if (starts[middle] <= key) i = middle;
      else end = middle;
    }
    start = starts[i] - starts[0];
  }
  attention_rows r = a.table[s.table + i];
  int64_t offset = (position - start) * a.kv_stride;
  return {r.k + offset, r.v + offset};
}

/// Elements d … d + 3 of a row of `size`; zeros behind its end.
__device__ inline float4 row_part(const float* row, int d, int size, int vectors) {
  if (vectors) return d < size ? load4(row + d) : make_float4(0.f, 0.f, 0.f, 0.f);
  return make_float4(d < size ? row[d] : 0.f, d + 1 < size ? row[d + 1] : 0.f, d + 2 < size ? row[d + 2] : 0.f,
                     d + 3 < size ? row[d + 3] : 0.f);
}

// Products in split precision

constexpr float low_factor = 2048.f, kv_factor = 1.f / 16;

typedef nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float> sum_fragment;
template <class Layout>
using left_fragment = nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, 16, 16, 16, __half, Layout>;
template <class Layout>
using right_fragment = nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, 16, __half, Layout>;

/// A tile in shared memory, rows `stride` halves apart.
struct split_tile {
  __half *high, *low;
  int stride;
  __device__ split_tile at(int row, int column) const { return {high + row * stride + column, low + row * stride + column, stride}; }
};

/// Eight halves of padding keep the rows that a fragment reads on different banks.
template <int D>
constexpr int tile_stride = D + 8;
/// Bytes of a split tile.
template <int D>
__host__ __device__ constexpr int tile_bytes(int rows) {
  return rows * tile_stride<D> * 2 * int(sizeof(__half));
}
template <int D>
__device__ inline split_tile tile_in(void* shared, int rows) {
  auto* p = static_cast<__half*>(shared);
  return {p, p + rows * tile_stride<D>, tile_stride<D>};
}

__device__ inline void split(float x, __half& high, __half& low) {
  high = __float2half_rn(x);
  low = __float2half_rn((x - __half2float(high)) * low_factor);
}

__device__ inline void split4(float4 x, const split_tile& t, int row, int column) {
  pack<__half, 4> high, low;
  split(x.x, high.at[0], low.at[0]);
  split(x.y, high.at[1], low.at[1]);
  split(x.z, high.at[2], low.at[2]);
  split(x.w, high.at[3], low.at[3]);
  store_pack(t.high + row * t.stride + column, high);
  store_pack(t.low + row * t.stride + column, low);
}

/// Fills a tile [rows, D] with factor(row) · *row_at(row); a null row is zeros. All threads of the block.
template <int D, class R, class F>
__device__ inline void fill_tile(const split_tile& t, int rows, int size, int vectors, R row_at, F factor) {
  constexpr int parts = D / 4, batch = 4;  // loads under way per thread
  for (int first = int(threadIdx.x); first < rows * parts; first += int(blockDim.x) * batch) {
    float4 x[batch];
#pragma unroll
    for (int b = 0; b < batch; b++) {
      int i = first + b * int(blockDim.x);
      const float* p = i < rows * parts ? row_at(i / parts) : nullptr;
      x[b] = p ? row_part(p, i % parts * 4, size, vectors) : make_float4(0.f, 0.f, 0.f, 0.f);
    }
#pragma unroll
    for (int b = 0; b < batch; b++) {
      int i = first + b * int(blockDim.x);
      if (i >= rows * parts) break;
      float f = factor(i / parts);
      split4(make_float4(x[b].x * f, x[b].y * f, x[b].z * f, x[b].w * f), t, i / parts, i % parts * 4);
    }
  }
}

/// main + cross / 2048 += left [16, 16] · right [16, 16]
template <class L, class R>
__device__ inline void split_product(sum_fragment& main, sum_fragment& cross, const left_fragment<L>& left,
                                     const left_fragment<L>& left_low, const right_fragment<R>& right, const right_fragment<R>& right_low) {
  nvcuda::wmma::mma_sync(main, left, right, main);
  nvcuda::wmma::mma_sync(cross, left, right_low, cross);
  nvcuda::wmma::mma_sync(cross, left_low, right, cross);
}

template <class F>
__device__ inline void load_split(F& high, F& low, const split_tile& t) {
  nvcuda::wmma::load_matrix_sync(high, t.high, unsigned(t.stride));
  nvcuda::wmma::load_matrix_sync(low, t.low, unsigned(t.stride));
}

}  // namespace t2::cuda
