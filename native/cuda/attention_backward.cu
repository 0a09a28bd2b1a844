// Attention backward: from q, k, v, out, lse and dout to dq and, added into the segments, dk and dv. Deterministic: a block owns a tile of
// queries (dq) or a tile of keys (dk, dv), recomputes the weights from lse, and walks the other side in order. No float atomics.
#include "attention_pieces.h"
#include "attention_tiles.h"
#include "launch.h"
#include "operators.h"

namespace t2::cuda {

// kernels

namespace {

using namespace nvcuda;

// grid: blocks of 4 (token, head) pairs
__global__ void T2_LAUNCH_BOUNDS(threads, 1) rows_kernel(attention_view a, row_sums sums, int64_t rows) {
  const int lane = int(threadIdx.x) % warp_size;
  const int64_t i = int64_t(blockIdx.x) * warps + int(threadIdx.x) / warp_size;
  if (i >= rows) return;
  const int64_t offset = i / a.heads * a.q_stride + i % a.heads * a.head_dim;
  float product = 0, most = 0;
  for (int d = lane; d < a.head_dim; d += warp_size) {
    const float x = a.dout[offset + d];
    product = fmaf(x, a.out[offset + d], product);
    most = fmaxf(most, fabsf(x));
  }
  product = warp_sum(product);
  most = warp_max(most);
  const int exponent = min(max(int(__float_as_uint(most) >> 23) - 126, -100), 100);
  if (lane == 0) {
    sums.products[i] = product;
    sums.powers[i] = __uint_as_float(unsigned(exponent + 127) << 23);
  }
}

// grid: tiles of T rows, key heads
template <int D, int T>
__global__ void T2_LAUNCH_BOUNDS(threads, 1) dq_kernel(attention_view a, const attention_tile* tiles, row_sums row) {
  T2_SHARED_DYNAMIC(char, shared);
  const tile_memory<D, T> m(shared);
  const attention_tile tile = tiles[blockIdx.x];
  const attention_sequence s = a.sequences[tile.sequence];
  const int kv_head = int(blockIdx.y), count = min(T, s.query_count * a.per - tile.row);
  const int64_t begin = int64_t(kv_head) * a.head_dim;
  load_rows(a, row, m, s.query_begin, s.query_count, s.position, tile.row, kv_head);
  const int end = s.position + (tile.row + count - 1) / a.per + 1;
  const fragment_share<D, T> share;
  sum_fragment sums[fragment_share<D, T>::most];
#pragma unroll
  for (auto& f : sums) wmma::fill_fragment(f, 0.f);

  for (int key = lowest_key(a, s.position + tile.row / a.per) / T * T; key < end; key += T) {
    __syncthreads();
    if (int(threadIdx.x) < T) {
      const int position = key + int(threadIdx.x);
      m.rows->places[threadIdx.x] = position < end ? locate(a, s, position) : attention_rows{nullptr, nullptr};
    }
    __syncthreads();
    const attention_rows* places = m.rows->places;
    fill_tile<D>(
        m.k, T, a.head_dim, a.vectors, [&](int i) { return places[i].k ? places[i].k + begin : nullptr; }, [](int) { return kv_factor; });
    fill_tile<D>(
        m.v, T, a.head_dim, a.vectors, [&](int i) { return places[i].v ? places[i].v + begin : nullptr; }, [](int) { return kv_factor; });
    __syncthreads();
    score_tiles(m);
    __syncthreads();
    weigh(a, m, key, min(T, end - key), [](int) { return 1.f; });
    add_product<wmma::row_major>(share, sums, m.ds, m.k, 1.f);
  }
  give_out(share, sums, reinterpret_cast<float*>(shared), a.head_dim, [&](int r, int d, float x) {
    if (r >= count) return;
    const int token = (tile.row + r) / a.per, head = kv_head * a.per + (tile.row + r) % a.per;
    a.dq[(s.query_begin + token) * a.q_stride + int64_t(head) * a.head_dim + d] =
        x * (a.scale / (kv_factor * kv_factor)) * m.rows->powers[r];
  });
}

// grid: tiles of T keys, key heads
template <int D, int T>
__global__ void T2_LAUNCH_BOUNDS(threads, 1) dkv_kernel(attention_view a, const key_tile* tiles, const piece_use* uses, row_sums row) {
  T2_SHARED_DYNAMIC(char, shared);
  const tile_memory<D, T> m(shared);
  const key_tile tile = tiles[blockIdx.x];
  const int kv_head = int(blockIdx.y);
  const int64_t begin = int64_t(kv_head) * a.head_dim;
  fill_tile<D>(
      m.k, T, a.head_dim, a.vectors, [&](int i) { return i < tile.count ? tile.k + i * a.kv_stride + begin : nullptr; },
      [](int) { return kv_factor; });
  fill_tile<D>(
      m.v, T, a.head_dim, a.vectors, [&](int i) { return i < tile.count ? tile.v + i * a.kv_stride + begin : nullptr; },
      [](int) { return kv_factor; });
  const fragment_share<D, T> share;
  sum_fragment dk[fragment_share<D, T>::most], dv[fragment_share<D, T>::most];
#pragma unroll
  for (auto& f : dk) wmma::fill_fragment(f, 0.f);
#pragma unroll
  for (auto& f : dv) wmma::fill_fragment(f, 0.f);

  for (int u = tile.use_begin; u < tile.use_end; u++) {
    const piece_use use = uses[u];
    const int key = use.start + tile.offset;       // position of the tile's first key in this sequence
    const int first = max(0, key - use.position);  // the first and the last query that see any of the tile
    const int last = min(use.query_count - 1, a.window ? key + tile.count - 2 + a.window - use.position : use.query_count - 1);
    for (int r = first * a.per / T * T; r < (last + 1) * a.per; r += T) {
      __syncthreads();
      load_rows(a, row, m, use.query_begin, use.query_count, use.position, r, kv_head);
      __syncthreads();
      score_tiles(m);
      float power = 0;  // the rows' powers differ; the tile's sums take the largest
      for (int i = 0; i < T; i++) power = fmaxf(power, m.rows->powers[i]);
      __syncthreads();
      weigh(a, m, key, tile.count, [&](int i) { return m.rows->powers[i] / power; });
      add_product<wmma::col_major>(share, dk, m.ds, m.q, power * (ln_2 / kv_factor));
      add_product<wmma::col_major>(share, dv, m.p, m.dout, power);
    }
  }
  auto* room = reinterpret_cast<float*>(shared);
  auto add_to = [&](float* base) {
    return [=](int r, int d, float x) {
      if (r < tile.count) base[r * a.kv_stride + begin + d] += x;
    };
  };
  give_out(share, dk, room, a.head_dim, add_to(tile.dk));
  give_out(share, dv, room, a.head_dim, add_to(tile.dv));
}

}  // namespace

// launchers

template <int D, int T>
static int run_backward(t2_context* c, const t2_attention& a, const std::vector<int32_t>& which, const attention_view& view,
                        const row_sums& sums) {
  constexpr size_t shared = size_t(tile_memory<D, T>::bytes);
  const attention_tile* tiles;
  int count;
  T2_TRY(attention_tiles(c, a, which, T, &tiles, &count));
  T2_TRY(launch(c, dq_kernel<D, T>, dim3(unsigned(count), unsigned(a.kv_heads)), dim3(threads), shared, view, tiles, sums));
  const key_pieces pieces(a, T);
  const key_tile* keys;
  const piece_use* uses;
  T2_TRY(c->stage(pieces.tiles.data(), pieces.tiles.size(), &keys));
  T2_TRY(c->stage(pieces.uses.data(), pieces.uses.size(), &uses));
  return launch(c, dkv_kernel<D, T>, dim3(unsigned(pieces.tiles.size()), unsigned(a.kv_heads)), dim3(threads), shared, view, keys, uses,
                sums);
}

int attention_backward(t2_context* c, const t2_attention* at) {
  const t2_attention& a = *at;
  if (a.head_dim > 256) return c->fail(T2_ERROR_INVALID, "attention: heads of " + std::to_string(a.head_dim) + " are larger than 256");
  std::vector<int32_t> which;
  int64_t tokens = 0;
  for (int32_t i = 0; i < a.sequence_count; i++) {
    if (a.sequences[i].query_count <= 0) continue;
    which.push_back(i);
    tokens = std::max(tokens, int64_t(a.sequences[i].query_begin) + a.sequences[i].query_count);
  }
  if (which.empty()) return T2_OK;
  attention_view view;
  T2_TRY(attention_tables(c, a, which, &view));
  const int64_t rows = tokens * a.heads;
  T2_SCRATCH(products, scratch_attention, rows);
  T2_SCRATCH(powers, scratch_attention_b, rows);
  const row_sums sums = {products, powers};
  T2_TRY(launch(c, rows_kernel, dim3(blocks_for(rows, warps)), dim3(threads), 0, view, sums, rows));
  const size_t room = size_t(c->capability < 80 ? 64 : 96) * 1024;
  return with_head_size(a.head_dim, [&](auto size) {
    constexpr int D = decltype(size)::value;
    if constexpr (D <= 128)
      if (size_t(tile_memory<D, 32>::bytes) <= room) return run_backward<D, 32>(c, a, which, view, sums);
    if constexpr (D >= 128)
      if (size_t(tile_memory<D, 16>::bytes) <= room) return run_backward<D, 16>(c, a, which, view, sums);
    return c->fail(T2_ERROR_INVALID,
                   "attention: training with heads of " + std::to_string(a.head_dim) + " needs a GPU of compute capability 8.0 or newer");
  });
}

}  // namespace t2::cuda
