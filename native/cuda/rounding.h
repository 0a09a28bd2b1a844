// Activations as products with 16-bit matrices take them: BF16 is rounded as it is; in F16 a row is first multiplied by the power of two
// that brings its largest magnitude to [2^14, 2^15), so that nothing overflows and next to nothing underflows, and the result is divided by
// it.
#pragma once
#include "context.h"
#include "gemm.h"

namespace t2::cuda {

/// Rows [n, size] in a matrix' dtype. The value is data · inverse[row · inverse_step]; null: 1.
struct rounded_rows {
  const void* data = nullptr;
  int64_t stride = 0;
  element type = element::f32;
  const float* inverse = nullptr;
  int inverse_step = 1;

  operand as_operand(bool transposed = false) const { return {data, type, stride, transposed}; }
};

/// Elements between the rows of a rounded copy: whole 16-byte pieces.
inline int64_t rounded_stride(int64_t size) { return (size + 7) / 8 * 8; }
/// Bytes that `to` below must have.
inline size_t rounded_bytes(int64_t n, int64_t size, int32_t dtype) { return dtype == 0 ? 0 : size_t(n * rounded_stride(size)) * 2; }

/// x [n, size] rounded to `dtype` in `to`; F32 is x itself. `inverse` [n] is written for F16 only. With `largest` (what magnitude() found)
/// all rows have one factor, and `inverse` a single element.
int round_rows(t2_context* c, const float* x, int64_t x_stride, int32_t n, int32_t size, int32_t dtype, void* to, float* inverse,
               rounded_rows* out, const unsigned* largest = nullptr);
/// *largest = the bits of max |x|, which order as the values do. Not inside a graph.
int magnitude(t2_context* c, const float* x, int64_t x_stride, int32_t n, int32_t size, unsigned* largest);
/// y[i, j] (+)= from[i, j] · inverse[i] + bias[j]; `from` may be y, `inverse` and `bias` null.
int finish_rows(t2_context* c, const float* from, int64_t from_stride, const float* inverse, const float* bias, int32_t n, int32_t size,
                bool accumulate, float* y, int64_t y_stride);

}  // namespace t2::cuda
