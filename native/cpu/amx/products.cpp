// Products of fp32 activations with stored matrices on AMX. Every element is the same sequence of products and sums in both ways below
// (k in steps of 32, in each the parts of w, in each the parts of x), whatever the tile and whichever operand comes first: a row's bits do
// not depend on how many rows are computed with it.
#include "../matrix_unit.h"

#include "../isa/vec.h"
#if defined(T2_TILES_EMULATED)
#include "tiles_emulated.h"
#else
#include "tiles.h"
#endif

#include "pack.inc"

namespace t2::cpu::T2_ISA {
namespace {

constexpr int steps_of(int cols) { return (cols + unit_step - 1) / unit_step; }

/// Bytes of a row of a full tile.
constexpr int64_t line = 64;

void pack(const float* x, int64_t x_stride, int n, int first, int count, int cols, uint16_t* out) {
  int steps = steps_of(cols);
  for (int t = first; t < first + count; t += unit_tile)
    for (int s = 0; s < steps; s++)
      pack_rows<as_f32, unit_parts>(x + t * x_stride + s * unit_step, x_stride, n - t, cols - s * unit_step,
                                    out + (int64_t(t) / unit_tile * steps + s) * unit_parts * tile_numbers);
}

/// Tokens x into tiles of pairs: [16 tokens][step][part]; a single tile is as wide as it has tokens.
void pack_few(const float* x, int64_t x_stride, int n, int cols, uint16_t* out) {
  int steps = steps_of(cols), width = n < unit_tile ? n : unit_tile;
  for (int t = 0; t < n; t += unit_tile)
    for (int s = 0; s < steps; s++, out += int64_t(width) * unit_step * unit_parts)
      pack_pairs<as_f32, unit_parts>(x + t * x_stride + s * unit_step, x_stride, n - t, cols - s * unit_step, out, width);
}

/// A tile of sums that does not fit y whole: through `buffer`, [16][16].
inline void from_y(const float* y, int64_t stride, int rows, int cols, float* buffer) {
  for (int r = 0; r < rows && r < unit_tile; r++) store(buffer + r * vw, load_part(y + r * stride, cols < vw ? cols : vw));
}
inline void to_y(float* y, int64_t stride, int rows, int cols, const float* buffer) {
  for (int r = 0; r < rows && r < unit_tile; r++) store_part(y + r * stride, load(buffer + r * vw), cols < vw ? cols : vw);
}

/// f<V>() for every sum tile V < N: tiles have no index at run time.
template <int N, int V = 0, class F>
T2_TILE each_sum(const F& f) {
  if constexpr (V < N) {
    f.template operator()<V>();
    each_sum<N, V + 1>(f);
  }
}
#define T2_EACH [&]<int V>() __attribute__((always_inline))

/// Sum tile V, 16 columns further on than the one before: 16 tokens, `rows` of them there, × columns of y, `cols` of them there.
template <int V>
inline void begin_sum(const float* y, int64_t stride, int rows, int cols, bool accumulate, float* buffer) {
  y += V * unit_tile;
  cols -= V * unit_tile;
  buffer += V * 256;
  if (!accumulate) tile_zero<V>();
  else if (rows >= unit_tile && cols >= unit_tile) tile_load<V>(y, stride * 4);
  else {
    from_y(y, stride, rows, cols, buffer);
    tile_load<V>(buffer, line);
  }
}
template <int V>
inline void end_sum(float* y, int64_t stride, int rows, int cols, float* buffer) {
  y += V * unit_tile;
  cols -= V * unit_tile;
  buffer += V * 256;
  if (rows >= unit_tile && cols >= unit_tile) return tile_store<V>(y, stride * 4);
  tile_store<V>(buffer, line);
  to_y(y, stride, rows, cols, buffer);
}

/// Sum tile V += (x in tiles 4, 5, 6) · (P parts of w at `b`).
template <int V, int P>
T2_TILE multiply_column(const uint16_t* b) {
  tile_load<7>(b, line);
  tile_product<V, 4, 7>();
  tile_product<V, 5, 7>();
  tile_product<V, 6, 7>();
  if constexpr (P > 1) {
    tile_load<7>(b + tile_numbers, line);
    tile_product<V, 4, 7>();
    tile_product<V, 5, 7>();
  }
  if constexpr (P > 2) {
    tile_load<7>(b + 2 * tile_numbers, line);
    tile_product<V, 4, 7>();
  }
}

/// 16 tokens × NV tiles of columns. b: [step][NV][part] tiles.
template <int NV, int P>
void multiply_block(const uint16_t* a, const uint16_t* b, int steps, int tokens, int width, float* y, int64_t y_stride, bool accumulate,
                    float* buffer) {
  each_sum<NV>(T2_EACH { begin_sum<V>(y, y_stride, tokens, width, accumulate, buffer); });
  for (int s = 0; s < steps; s++, a += unit_parts * tile_numbers, b += NV * P * tile_numbers) {
    tile_load<4>(a, line);
    tile_load<5>(a + tile_numbers, line);
    tile_load<6>(a + 2 * tile_numbers, line);
    each_sum<NV>(T2_EACH { multiply_column<V, P>(b + V * P * tile_numbers); });
  }
  each_sum<NV>(T2_EACH { end_sum<V>(y, y_stride, tokens, width, buffer); });
}

template <class W, int P, int NV>
void multiply_panel(const typename W::type* w, int64_t w_stride, bool by_rows, int width, int cols, const uint16_t* packed, int n, float* y,
                    int64_t y_stride, bool accumulate, float* scratch) {
  if constexpr (NV > 1)
    if (width <= (NV - 1) * unit_tile)
      return multiply_panel<W, P, NV - 1>(w, w_stride, by_rows, width, cols, packed, n, y, y_stride, accumulate, scratch);
  int steps = steps_of(cols);
  float* buffer = scratch;
  uint16_t* b = reinterpret_cast<uint16_t*>(scratch + 4 * 256);
  for (int s = 0; s < steps; s++)
    for (int v = 0; v < NV; v++) {
      uint16_t* tile = b + int64_t(s * NV + v) * P * tile_numbers;
      int k = s * unit_step, j = v * unit_tile;
      if (by_rows) pack_pairs<W, P>(w + j * w_stride + k, w_stride, width - j, cols - k, tile);
      else pack_row_pairs<W, P>(w + k * w_stride + j, w_stride, cols - k, width - j, tile);
    }
  tiles_on();
  for (int t = 0; t < n; t += unit_tile)
    multiply_block<NV, P>(packed + int64_t(t) / unit_tile * steps * unit_parts * tile_numbers, b, steps, n - t, width, y + t * y_stride,
                          y_stride, accumulate, buffer);
  tiles_off();
}

void multiply(int dtype, const void* w, int64_t w_stride, bool by_rows, int width, int cols, const uint16_t* packed, int n, float* y,
              int64_t y_stride, bool accumulate, float* scratch) {
  if (dtype == 0)
    multiply_panel<as_f32, 3, 4>(static_cast<const float*>(w), w_stride, by_rows, width, cols, packed, n, y, y_stride, accumulate, scratch);
  else if (dtype == 1)
    multiply_panel<as_f16, 2, 4>(static_cast<const uint16_t*>(w), w_stride, by_rows, width, cols, packed, n, y, y_stride, accumulate,
                                 scratch);
  else
    multiply_panel<as_bf16, 1, 4>(static_cast<const uint16_t*>(w), w_stride, by_rows, width, cols, packed, n, y, y_stride, accumulate,
                                  scratch);
}

#include "few.inc"

}  // namespace

extern const matrix_unit unit;
const matrix_unit unit = {pack, multiply, pack_few, multiply_few};

}  // namespace t2::cpu::T2_ISA
