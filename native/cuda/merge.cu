// W' = W + U diag(s) Vh: U's columns scaled in the matrix' dtype, and one product added to W, rounded once.
#include <algorithm>

#include "device.h"
#include "gemm.h"
#include "launch.h"
#include "operators.h"

namespace t2::cuda {

// kernels

namespace {

constexpr int threads = 256;

/// to [rows, cols] = from · s[col] (null: from), contiguous.
template <class From, class To>
__global__ void scale_columns_kernel(const From* from, int64_t stride, const float* s, int cols, To* to) {
  const int64_t row = blockIdx.x;
  for (int j = int(blockIdx.y) * threads + int(threadIdx.x); j < cols; j += int(gridDim.y) * threads) {
    const float v = load(from + row * stride + j);
    store(to + row * cols + j, s ? v * s[j] : v);
  }
}

}  // namespace

// launchers

namespace {

int scale_columns(t2_context* c, const t2_matrix& m, const float* s, int32_t to_dtype, void* to) {
  return with_dtype(m.dtype, [&](auto from_tag) {
    return with_dtype(to_dtype, [&](auto to_tag) {
      using From = typename decltype(from_tag)::type;
      using To = typename decltype(to_tag)::type;
      const dim3 grid(unsigned(m.rows), std::min(4u, blocks_for(m.cols, threads)));
      return launch(c, scale_columns_kernel<From, To>, grid, threads, 0, static_cast<const From*>(m.data), m.stride, s, m.cols,
                    static_cast<To*>(to));
    });
  });
}

}  // namespace

int merge(t2_context* c, const t2_matrix* w, const t2_matrix* u, const t2_matrix* vh, const float* s, void* out, int32_t out_dtype) {
  const int32_t m = w->rows, n = w->cols, r = u->cols, type = w->dtype;
  const size_t size = size_t(t2::size_of(dtype(type)));
  void* us = c->scratch(scratch_cast_a, size_t(m) * size_t(r) * size);
  if (!us) return c->fail(T2_ERROR_MEMORY, "no device memory for the scaled factor of a merge");
  T2_TRY(scale_columns(c, *u, s, type, us));
  operand a{us, element(type), r}, b{vh->data, element(vh->dtype), vh->stride};
  if (vh->dtype != type) {
    void* copy = c->scratch(scratch_cast_b, size_t(r) * size_t(n) * size);
    if (!copy) return c->fail(T2_ERROR_MEMORY, "no device memory for the rounded factor of a merge");
    T2_TRY(scale_columns(c, *vh, nullptr, type, copy));
    b = {copy, element(type), n};
  }
  if (out_dtype == type) return gemm(c, m, n, r, 1, a, b, 1, out, element(type), n, w->data, w->stride);
  // the sum in fp32, in place when that is what is wanted
  void* sum = out;
  if (out_dtype != 0) {
    T2_SCRATCH(wide, scratch_product_a, size_t(m) * size_t(n));
    sum = wide;
  }
  T2_TRY(scale_columns(c, *w, nullptr, 0, sum));
  T2_TRY(gemm(c, m, n, r, 1, a, b, 1, sum, element::f32, n));
  return out_dtype == 0 ? T2_OK : cast(c, sum, 0, int64_t(m) * n, out, out_dtype);
}

}  // namespace t2::cuda
