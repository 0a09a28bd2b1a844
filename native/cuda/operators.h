// The CUDA backend's operators, one file each; signatures as in t2_backend. Device pointers are device pointers, host tables are staged.
#pragma once
#include "context.h"

namespace t2::cuda {

// rows.cu: embedding, gather, scatter, scale
int embed(t2_context*, const t2_matrix*, const int32_t*, int32_t, float*);
int scale_rows(t2_context*, float*, int64_t, int32_t, int32_t, const float* const*, const int32_t*);
int rope_write(t2_context*, const t2_rope_write*);
int gather_rows(t2_context*, const float*, int64_t, const int32_t*, int32_t, float*);
int scatter_add_rows(t2_context*, const float*, int64_t, const int32_t*, int32_t, float*);
// rms_norm.cu
int rms_norm(t2_context*, const float*, const float*, int32_t, int32_t, float, float*);
int rms_norm_backward(t2_context*, const float*, const float*, const float*, int32_t, int32_t, float, float*);
// rope.cu
int rope(t2_context*, float*, int64_t, int32_t, int32_t, int32_t, const int32_t*, const float*, float, int32_t);
// swiglu.cu
int swiglu(t2_context*, const float*, const float*, int64_t, float*);
int swiglu_backward(t2_context*, const float*, const float*, const float*, int64_t, float*, float*);
// linear.cu (gemv.cu for few rows, gemm.cu for many)
int linear(t2_context*, const float*, int64_t, int32_t, const t2_linear*, int32_t);
int linear_backward(t2_context*, const float*, int64_t, int32_t, const t2_matrix*, float*, int64_t, int32_t);
// attention.cu (chooses attention_prefill.cu or attention_decode.cu), attention_backward.cu
int attention(t2_context*, const t2_attention*);
int attention_backward(t2_context*, const t2_attention*);
// z_gradient.cu, merge.cu
int z_gradient(t2_context*, const float*, int64_t, const float*, int64_t, int32_t, const t2_matrix*, const t2_matrix*, double*);
int merge(t2_context*, const t2_matrix*, const t2_matrix*, const t2_matrix*, const float*, void*, int32_t);
// loss.cu, sample.cu
int loss(t2_context*, const t2_loss*);
int sample(t2_context*, float*, int32_t, int32_t, const t2_sample_row*, int32_t*, float*);
// vectors.cu
int mix(t2_context*, const float* const*, const float*, int32_t, float, int64_t, float*);
int axpy(t2_context*, float, const float*, int64_t, float*);
int cast(t2_context*, const void*, int32_t, int64_t, void*, int32_t);
int adamw(t2_context*, const t2_adamw*);
// svd.cu
int svd(t2_context*, t2_svd*, int32_t, void (*)(void*, int32_t), void*);

}  // namespace t2::cuda
