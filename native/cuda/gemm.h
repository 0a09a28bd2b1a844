// Dense products over cuBLASLt, row-major. Heuristics are kept per shape in the context's libraries.
#pragma once
#include "context.h"

namespace t2::cuda {

enum class element : int32_t { f32 = 0, f16 = 1, bf16 = 2, f64 = 3 };  // the first three as t2::dtype

/// A row-major array as it lies in memory: rows `stride` elements apart. `transposed`: the product takes its transpose.
struct operand {
  const void* data;
  element type;
  int64_t stride;
  bool transposed = false;
};

/// d[m, n] = alpha · op(a)[m, k] · op(b)[k, n] + beta · c. a and b have one type; d and c have `d_type` (f32 or the type of a and b) and
/// row lengths `d_stride`, `c_stride`; c may be d, and is not read when beta is 0. fp32 accumulation (fp64 for f64), no TF32.
int gemm(t2_context* c, int m, int n, int k, double alpha, operand a, operand b, double beta, void* d, element d_type, int64_t d_stride,
         const void* c_in = nullptr, int64_t c_stride = 0);

/// The same on another stream than the context's, for svd.cu.
int gemm_on(t2_context* c, cudaStream_t stream, void* workspace, size_t workspace_bytes, int m, int n, int k, double alpha, operand a,
            operand b, double beta, void* d, element d_type, int64_t d_stride, const void* c_in = nullptr, int64_t c_stride = 0);

}  // namespace t2::cuda
