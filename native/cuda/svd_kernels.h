// The kernels of svd.cu on fp64 matrices, row-major and without gaps. Every launcher queues on the stream it is given, from any thread.
#pragma once
#include "context.h"

namespace t2::cuda::decomposition {

/// a = w in fp64: [rows, cols], or [cols, rows] when `transposed`. *bad becomes 1 if an entry is not finite.
int widen(t2_context* c, cudaStream_t stream, const void* w, int32_t dtype, int rows, int cols, bool transposed, double* a, int* bad);
/// out[cols, rows] = m[rows, cols]ᵀ
int transpose(t2_context* c, cudaStream_t stream, const double* m, int rows, int cols, double* out);

/// norms[i] = ‖m[i, :]‖
int row_norms(t2_context* c, cudaStream_t stream, const double* m, int rows, int cols, double* norms);
/// m[i, :] = m[i, :] / by[i] rounded to fp32; by null: only rounded
int divide_and_round(t2_context* c, cudaStream_t stream, double* m, int rows, int cols, const double* by);
/// m[i, :] *= by[i]
int multiply_rows(t2_context* c, cudaStream_t stream, double* m, int rows, int cols, const double* by);
/// worst[i] = max |g[i, :] − I[i, :]|; infinity where there is a NaN
int deviations(t2_context* c, cudaStream_t stream, const double* g, int n, double* worst);
/// g = 1.5 I − 0.5 g
int newton_schulz_factor(t2_context* c, cudaStream_t stream, double* g, int n);
/// x = independent signs ±1, always the same
int random_signs(t2_context* c, cudaStream_t stream, double* x, int64_t count);

/// sign[i] = ±1 such that the entry of largest magnitude of sign[i] m[i, :], the first of them, is not negative
int row_signs(t2_context* c, cudaStream_t stream, const double* m, int rows, int cols, float* sign);
/// out[j, :] = sign[order[j]] m[order[j], :], out [rows, cols]
int store_rows(t2_context* c, cudaStream_t stream, const double* m, int rows, int cols, const int* order, const float* sign, float* out);
/// out[:, j] = sign[order[j]] m[order[j], :], out [cols, rows]
int store_columns(t2_context* c, cudaStream_t stream, const double* m, int rows, int cols, const int* order, const float* sign, float* out);

}  // namespace t2::cuda::decomposition
