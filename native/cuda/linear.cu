// Products with a stored matrix: few rows by gemv.cu, many by cuBLASLt on x rounded to the matrix' dtype; and the gradient of the input.
#include <algorithm>
#include <vector>

#include "gemv.h"
#include "operators.h"
#include "rounding.h"

namespace t2::cuda {

// launchers

namespace {

operand as_operand(const t2_matrix& w, bool transposed) { return {w.data, element(w.dtype), w.stride, transposed}; }

/// Room for rounded rows and their factors.
int round(t2_context* c, const float* x, int64_t x_stride, int32_t n, int32_t size, int32_t dtype, rounded_rows* out) {
  void* to = nullptr;
  float* inverse = nullptr;
  if (dtype != 0 && !(to = c->scratch(scratch_cast_a, rounded_bytes(n, size, dtype))))
    return c->fail(T2_ERROR_MEMORY, "no device memory for " + std::to_string(n) + " rounded rows");
  if (dtype == 1) {
    T2_SCRATCH(factors, scratch_row_scales, n);
    inverse = factors;
  }
  return round_rows(c, x, x_stride, n, size, dtype, to, inverse, out);
}

/// y[n, size] (+)= x · op(w) (+ bias)
int multiply(t2_context* c, const rounded_rows& x, int32_t n, int32_t size, int32_t inner, operand w, bool accumulate, const float* bias,
             float* y, int64_t y_stride) {
  if (!x.inverse) {
    T2_TRY(gemm(c, n, size, inner, 1, x.as_operand(), w, accumulate ? 1 : 0, y, element::f32, y_stride));
    return bias ? finish_rows(c, y, y_stride, nullptr, bias, n, size, false, y, y_stride) : T2_OK;
  }
  // the rows' factors come off before anything is added
  float* product = y;
  int64_t stride = y_stride;
  if (accumulate) {
    T2_SCRATCH(aside, scratch_cast_b, int64_t(n) * size);
    product = aside;
    stride = size;
  }
  T2_TRY(gemm(c, n, size, inner, 1, x.as_operand(), w, 0, product, element::f32, stride));
  return finish_rows(c, product, stride, x.inverse, bias, n, size, accumulate, y, y_stride);
}

/// Items of one dtype.
int linear_of(t2_context* c, const float* x, int64_t x_stride, int32_t n, const t2_linear* items, int32_t count) {
  if (n <= gemv_rows) return gemv(c, x, x_stride, n, items, count);
  if (c->deterministic) {  // what cuBLASLt does with a row depends on their number
    std::vector<t2_linear> moved(items, items + count);
    for (int32_t begin = 0; begin < n; begin += gemv_rows) {
      T2_TRY(gemv(c, x + begin * x_stride, x_stride, std::min(gemv_rows, n - begin), moved.data(), count));
      for (t2_linear& it : moved) it.y += gemv_rows * it.y_stride;
    }
    return T2_OK;
  }
  rounded_rows r;
  T2_TRY(round(c, x, x_stride, n, items[0].w.cols, items[0].w.dtype, &r));
  for (int32_t i = 0; i < count; i++) {
    const t2_linear& it = items[i];
    T2_TRY(multiply(c, r, n, it.w.rows, it.w.cols, as_operand(it.w, true), it.accumulate != 0, it.bias, it.y, it.y_stride));
  }
  return T2_OK;
}

}  // namespace

int linear(t2_context* c, const float* x, int64_t x_stride, int32_t n, const t2_linear* items, int32_t count) {
  if (n <= 0) return T2_OK;
  for (int32_t begin = 0, end; begin < count; begin = end) {
    for (end = begin + 1; end < count && items[end].w.dtype == items[begin].w.dtype;) end++;
    T2_TRY(linear_of(c, x, x_stride, n, items + begin, end - begin));
  }
  return T2_OK;
}

int linear_backward(t2_context* c, const float* g, int64_t g_stride, int32_t n, const t2_matrix* w, float* dx, int64_t dx_stride,
                    int32_t accumulate) {
  if (n <= 0) return T2_OK;
  rounded_rows r;
  T2_TRY(round(c, g, g_stride, n, w->rows, w->dtype, &r));
  return multiply(c, r, n, w->cols, w->rows, as_operand(*w, false), accumulate != 0, nullptr, dx, dx_stride);
}

}  // namespace t2::cuda
