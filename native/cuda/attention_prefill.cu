// Attention for many queries: tiles of 64 rows by 32 keys on tensor cores in split precision, softmax as the tiles go by. Tiles of keys
// begin at multiples of 32 positions and a tile that a row does not see leaves its sums as they are, so a row's bits depend on its own keys
// alone.
#include "attention_common.h"
#include "launch.h"

namespace t2::cuda {

using namespace nvcuda;

// kernels

namespace {

constexpr int key_tile = 32, team_rows = 16;
constexpr int score_stride = key_tile + 4, weight_stride = key_tile + 8;
constexpr int team_bytes = 2 * team_rows * weight_stride * 2;  // scores as fp32, then weights as two halves in their place
constexpr int factor_bytes = team_rows * 16 * 4;
static_assert(team_bytes >= team_rows * score_stride * 4 && team_bytes >= 2 * team_rows * 16 * 4);

// A team of warps has sixteen rows: one warp, or two that share the columns of a large head, whose sums would not fit the registers of one.
template <int D>
constexpr int team_warps = D > 128 ? 2 : 1;

template <int D>
constexpr int shared_bytes(int teams) {
  return tile_bytes<D>(teams * team_rows) + tile_bytes<D>(key_tile) + teams * (team_bytes + factor_bytes) +
         key_tile * int(sizeof(attention_rows));
}

// scores [16, 16 · columns] of a team's rows in units of log2: 16 · q' k'ᵀ
template <int D, int columns>
__device__ void score_tile(const split_tile& q, const split_tile& k, float* scores) {
  sum_fragment main[columns], cross[columns];
#pragma unroll
  for (int n = 0; n < columns; n++) {
    wmma::fill_fragment(main[n], 0.f);
    wmma::fill_fragment(cross[n], 0.f);
  }
#pragma unroll 2
  for (int d = 0; d < D; d += 16) {
    left_fragment<wmma::row_major> left, left_low;
    load_split(left, left_low, q.at(0, d));
#pragma unroll
    for (int n = 0; n < columns; n++) {
      right_fragment<wmma::col_major> right, right_low;
      load_split(right, right_low, k.at(n * 16, d));
      split_product(main[n], cross[n], left, left_low, right, right_low);
    }
  }
#pragma unroll
  for (int n = 0; n < columns; n++) {
    for (int i = 0; i < main[n].num_elements; i++) main[n].x[i] = (main[n].x[i] + cross[n].x[i] * (1 / low_factor)) * (1 / kv_factor);
    wmma::store_matrix_sync(scores + n * 16, main[n], score_stride, wmma::mem_row_major);
  }
}

// A number per row becomes an accumulator fragment, whose layout is the compiler's secret: two lanes write the row [16], all read the
// fragment.
__device__ void write_factor(float* factors, int lane, float x) {
  const float4 four = make_float4(x, x, x, x);
  store4(factors + lane / 2 * 16 + lane % 2 * 8, four);
  store4(factors + lane / 2 * 16 + lane % 2 * 8 + 4, four);
}

template <int N>
__device__ void multiply_rows(sum_fragment (&sums)[N], const float* factors) {
  sum_fragment f;
  wmma::load_matrix_sync(f, factors, 16, wmma::mem_row_major);
#pragma unroll
  for (int n = 0; n < N; n++)
    for (int i = 0; i < f.num_elements; i++) sums[n].x[i] *= f.x[i];
}

// Two lanes share a row: lane / 2, and of each tile's keys the half lane % 2.
struct softmax_row {
  int position;
  float maximum, sum;
};

// Turns scores into weights (in the same memory) and returns what the sums so far are to be multiplied with.
__device__ float soften(const attention_view& a, float* scores, const split_tile& weights, int lane, int first_key, softmax_row& row) {
  const int r = lane / 2, begin = lane % 2 * 16;
  float s[16], most = minus_infinity;
#pragma unroll
  for (int i = 0; i < 16; i += 4) {
    float4 x = load4(scores + r * score_stride + begin + i);
    s[i] = x.x, s[i + 1] = x.y, s[i + 2] = x.z, s[i + 3] = x.w;
  }
#pragma unroll
  for (int i = 0; i < 16; i++) {
    if (!sees(a, row.position, first_key + begin + i)) s[i] = minus_infinity;
    most = fmaxf(most, s[i]);
  }
  most = fmaxf(row.maximum, fmaxf(most, __shfl_xor_sync(full_mask, most, 1)));
  const float base = most == minus_infinity ? 0.f : most;  // no key seen so far
  float sum = 0;
#pragma unroll
  for (int i = 0; i < 16; i++) {
    s[i] = exp2f(s[i] - base);
    sum += s[i];
  }
  sum += __shfl_xor_sync(full_mask, sum, 1);
  float factor = most == row.maximum ? 1.f : exp2f(row.maximum - base);
  row.sum = row.sum * factor + sum;
  row.maximum = most;
  __syncwarp();  // all scores are read
#pragma unroll
  for (int i = 0; i < 16; i += 4) split4(make_float4(s[i], s[i + 1], s[i + 2], s[i + 3]), weights, r, begin + i);
  __syncwarp();
  return factor;
}

// grid: tiles, key heads
template <int D>
__global__ void T2_LAUNCH_BOUNDS(128, 1) prefill_kernel(attention_view a, const attention_tile* tiles) {
  T2_SHARED_DYNAMIC(char, shared);
  constexpr int W = team_warps<D>, columns = D / W;
  const int warp = int(threadIdx.x) / warp_size, lane = int(threadIdx.x) % warp_size;
  const int teams = int(blockDim.x) / (warp_size * W), team = warp / W, member = warp % W;
  const attention_tile tile = tiles[blockIdx.x];
  const attention_sequence s = a.sequences[tile.sequence];
  const int kv_head = int(blockIdx.y), rows = min(teams * team_rows, s.query_count * a.per - tile.row);
  const split_tile q = tile_in<D>(shared, teams * team_rows);
  char* at = shared + tile_bytes<D>(teams * team_rows);
  const split_tile kv = tile_in<D>(at, key_tile);
  at += tile_bytes<D>(key_tile);
  auto* scores = reinterpret_cast<float*>(at + team * team_bytes);
  auto* halves = reinterpret_cast<__half*>(scores);
  const split_tile weights = {halves, halves + team_rows * weight_stride, weight_stride};
  at += teams * team_bytes;
  auto* factors = reinterpret_cast<float*>(at + team * factor_bytes);
  auto* places = reinterpret_cast<attention_rows*>(at + teams * factor_bytes);

  auto offset_of = [&](int r) {
    int token = (tile.row + r) / a.per, head = kv_head * a.per + (tile.row + r) % a.per;
    return (s.query_begin + token) * a.q_stride + int64_t(head) * a.head_dim;
  };
  const float q_factor = a.scale * log2_e;
  fill_tile<D>(
      q, teams * team_rows, a.head_dim, a.vectors, [&](int r) { return r < rows ? a.q + offset_of(r) : nullptr; },
      [&](int) { return q_factor; });

  const int keys = s.position + (tile.row + rows - 1) / a.per + 1;
  const int first_row = team * team_rows, last_row = min(rows, first_row + team_rows) - 1, r = first_row + lane / 2;
  const int first = s.position + (tile.row + first_row) / a.per, last = s.position + (tile.row + last_row) / a.per;
  softmax_row row = {r < rows ? s.position + (tile.row + r) / a.per : -1, minus_infinity, 0.f};

  sum_fragment sums[columns / 16];
#pragma unroll
  for (int d = 0; d < columns / 16; d++) wmma::fill_fragment(sums[d], 0.f);

  for (int key = lowest_key(a, s.position + tile.row / a.per) / key_tile * key_tile; key < keys; key += key_tile) {
    const bool works = first_row < rows && key <= last && key + key_tile > lowest_key(a, first);
    __syncthreads();  // the last tile's values are used
    if (int(threadIdx.x) < key_tile) {
      int position = key + int(threadIdx.x);
      places[threadIdx.x] = position < keys ? locate(a, s, position) : attention_rows{nullptr, nullptr};
    }
    __syncthreads();
    const int64_t begin = int64_t(kv_head) * a.head_dim;
    fill_tile<D>(
        kv, key_tile, a.head_dim, a.vectors, [&](int i) { return places[i].k ? places[i].k + begin : nullptr; },
        [](int) { return kv_factor; });
    __syncthreads();
    if (works) score_tile<D, 2 / W>(q.at(first_row, 0), kv.at(member * 16, 0), scores + member * 16);
    __syncthreads();  // the keys are used
    fill_tile<D>(
        kv, key_tile, a.head_dim, a.vectors, [&](int i) { return places[i].v ? places[i].v + begin : nullptr; },
        [](int) { return kv_factor; });
    if (works && member == 0) write_factor(factors, lane, soften(a, scores, weights, lane, key, row));
    __syncthreads();
    if (!works) continue;
    if (__any_sync(full_mask, factors[lane / 2 * 16] != 1.f)) multiply_rows(sums, factors);
#pragma unroll 1  // more would not fit the registers
    for (int k = 0; k < key_tile; k += 16) {
      left_fragment<wmma::row_major> left, left_low;
      load_split(left, left_low, weights.at(0, k));
#pragma unroll
      for (int d = 0; d < columns / 16; d++) {
        sum_fragment cross;
        wmma::fill_fragment(cross, 0.f);
        right_fragment<wmma::row_major> right, right_low;
        load_split(right, right_low, kv.at(k, member * columns + d * 16));
        split_product(sums[d], cross, left, left_low, right, right_low);
        for (int i = 0; i < cross.num_elements; i++) sums[d].x[i] += cross.x[i] * (1 / low_factor);
      }
    }
  }

  __syncthreads();  // the last tile's factors and weights are used
  if (member == 0) write_factor(factors, lane, row.sum > 0 ? 1 / (kv_factor * row.sum) : 0.f);
  __syncthreads();
  multiply_rows(sums, factors);
  float* mine = scores + member * team_rows * 16;
#pragma unroll
  for (int d = 0; d < columns / 16; d++) {
    wmma::store_matrix_sync(mine, sums[d], 16, wmma::mem_row_major);
    __syncwarp();
    for (int i = lane; i < team_rows * 16; i += warp_size) {
      int line = first_row + i / 16, column = member * columns + d * 16 + i % 16;
      if (line < rows && column < a.head_dim) a.out[offset_of(line) + column] = mine[i];
    }
    __syncwarp();
  }
  if (a.lse && member == 0 && r < rows && lane % 2 == 0) {
    int token = s.query_begin + (tile.row + r) / a.per, head = kv_head * a.per + (tile.row + r) % a.per;
    a.lse[int64_t(token) * a.heads + head] = ln_2 * (row.maximum + log2f(row.sum));
  }
}

}  // namespace

// launchers

int attention_prefill(t2_context* c, const t2_attention& a, const std::vector<int32_t>& which) {
  attention_view view;
  T2_TRY(attention_tables(c, a, which, &view));
  return with_head_size(a.head_dim, [&](auto size) {
    constexpr int D = decltype(size)::value;
    const int room = c->capability < 80 ? 64 * 1024 : 96 * 1024;
    int teams = 4 / team_warps<D>;
    while (teams > 1 && shared_bytes<D>(teams) > room) teams /= 2;
    const attention_tile* tiles;
    int count;
    T2_TRY(attention_tiles(c, a, which, teams * team_rows, &tiles, &count));
    return launch(c, prefill_kernel<D>, dim3(unsigned(count), unsigned(a.kv_heads)), dim3(unsigned(teams * team_warps<D> * warp_size)),
                  size_t(shared_bytes<D>(teams)), view, tiles);
  });
}

}  // namespace t2::cuda
