// Products on a processor's matrix unit (Intel AMX), where there is one: tiles of 16 × 32 BF16 numbers, sums in fp32. An fp32 number is
// taken as the exact sum of three BF16 numbers of 8 bits each, a stored F16 number as two, a BF16 number as it is; products of parts below
// 2⁻²² of the whole are left out. So BF16 weights cost three products at sixteen times the speed of fp32 ones, to fp32's accuracy.
#pragma once
#include <cstdint>

namespace t2::cpu {

struct matrix_unit {
  /// Lays out tokens first … first + count − 1 (whole tiles, or up to the last token) of n for `multiply`, at most unit_k columns.
  void (*pack)(const float* x, int64_t x_stride, int n, int first, int count, int cols, uint16_t* out);
  /// y[t, j] (+)= Σ_k x[t, k] b[k, j] for n packed tokens and at most unit_width columns j; b[k, j] is w[j, k] if `by_rows`, w[k, j] if
  /// not. `scratch`: unit_scratch floats.
  void (*multiply)(int dtype, const void* w, int64_t w_stride, bool by_rows, int width, int cols, const uint16_t* packed, int n, float* y,
                   int64_t y_stride, bool accumulate, float* scratch);
  /// The same for at most unit_few tokens, bit for bit, without laying out w: y[t, j] (+)= Σ_k x[t, k] w[j, k].
  void (*pack_few)(const float* x, int64_t x_stride, int n, int cols, uint16_t* out);
  void (*multiply_few)(int dtype, const void* w, int64_t w_stride, int rows, int cols, const uint16_t* packed, int n, float* y,
                       int64_t y_stride, bool accumulate, float* scratch);
};

constexpr int unit_tile = 16, unit_step = 32, unit_parts = 3;
constexpr int unit_width = 64, unit_few = 32;
/// Longest stretch of k in one call: the packed tokens of a thread stay in its second-level cache. Sums go on where they were: no bit
/// depends on it.
constexpr int unit_k = 768;
constexpr int unit_scratch = unit_k / unit_step * 4 * unit_parts * 256 + 4 * 256;

/// 16-bit numbers that n packed tokens take.
constexpr int64_t unit_packed(int n, int cols) {
  return int64_t(n + unit_tile - 1) / unit_tile * unit_tile * ((cols + unit_step - 1) / unit_step * unit_step) * unit_parts;
}

}  // namespace t2::cpu
