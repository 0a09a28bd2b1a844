// Host emulation: the product behind cuBLASLt's matmul.
#pragma once
#include <cstddef>
#include <cstdint>

#include "libraries.h"

namespace t2::cuda::host {

/// Bytes of an element of a cudaDataType; 0 for one that is not used.
size_t size_of(int type);

/// A column-major matrix as it lies in memory; `transposed`: the product takes its transpose.
struct matrix {
  void* data;
  int type;
  int64_t ld;
  bool transposed;
};

/// d[m, n] = alpha op(a)[m, k] op(b)[k, n] + beta c, with sums and factors in T: float, or double. c is not read when beta is 0.
template <class T>
void product(int64_t m, int64_t n, int64_t k, T alpha, const matrix& a, const matrix& b, T beta, const matrix& c, const matrix& d);

}  // namespace t2::cuda::host
