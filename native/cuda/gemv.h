// Products of few rows with stored matrices: bound by reading the weights, which are read once for all rows.
#pragma once
#include "context.h"

namespace t2::cuda {

constexpr int gemv_rows = 8;

/// As t2_backend::linear for n ≤ gemv_rows and items of one dtype. x is rounded as rounding.h says; a row's bits depend neither on the
/// other rows nor on the other items.
int gemv(t2_context* c, const float* x, int64_t x_stride, int32_t n, const t2_linear* items, int32_t count);

}  // namespace t2::cuda
