// The operator table: everything the core asks of a device, as a versioned C ABI of plain structs. The CPU backend fills it in cpu/;
// the CUDA backend fills the same table from a shared library (t2_backend_create below). Activations are fp32; matrices keep the dtype they
// are stored in.
//
// Pointers named `float*` and t2_matrix::data are device memory (on the CPU: ordinary memory); index arrays (tokens, positions, sequences,
// segments, tables of scales) are host memory and are read before the call returns. Results named "host" are there when the call returns.
// Calls are made from the engine thread only, but for release, which any thread may call. An operator returns 0, or one of the codes below
// with a text behind last_error.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define T2_BACKEND_ABI 3

typedef struct t2_context t2_context;

/// DEVICE: one call failed. LOST: the device is in an error state that nothing but a new process ends; every further call says so.
/// RETRY: graph_end only, see there.
enum { T2_OK = 0, T2_ERROR_MEMORY = 1, T2_ERROR_INVALID = 2, T2_ERROR_DEVICE = 3, T2_ERROR_CANCELLED = 4, T2_ERROR_LOST = 5, T2_RETRY = 6 };

/// Row-major [rows, cols], rows `stride` elements apart. dtype as in t2::dtype.
typedef struct t2_matrix {
  const void* data;
  int32_t dtype;
  int32_t rows;
  int32_t cols;
  int64_t stride;
} t2_matrix;

/// One product of several that share their input: y[n, w.rows] (+)= x[n, w.cols] · wᵀ (+ bias[w.rows]).
typedef struct t2_linear {
  t2_matrix w;
  float* y;
  int64_t y_stride;
  const float* bias;  /* or null */
  int32_t accumulate; /* 1: add to y */
} t2_linear;

/// q [n, heads · head_dim] and k [n, kv_heads · head_dim] are turned as `rope` turns them. Without k_rows both in place (v is not read);
/// with them, row i of k goes turned to k_rows[i] + offset, row i of v as it is to v_rows[i] + offset, and k itself stays.
typedef struct t2_rope_write {
  float *q, *k;
  const float* v;
  int64_t q_stride, kv_stride;
  int32_t n, heads, kv_heads, head_dim;
  const int32_t* positions;
  const float* inverse_frequencies; /* device, [head_dim / 2] */
  float factor;
  float* const* k_rows; /* host table of device pointers, no two rows to one place; or null */
  float* const* v_rows;
  int64_t offset;
} t2_rope_write;

/// Keys and values of `count` consecutive positions, rows `kv_stride` floats apart (a cache block, or a stretch of a packed buffer).
typedef struct t2_segment {
  const float* k;
  const float* v;
  float* dk; /* backward only */
  float* dv;
  int32_t count;
} t2_segment;

/// Queries [query_begin, query_begin + query_count) of the packed batch, at positions `position`…; their keys are the positions
/// 0 … position + query_count − 1, found in segments [segment_begin, segment_begin + segment_count) in order.
typedef struct t2_sequence {
  int32_t query_begin;
  int32_t query_count;
  int32_t position;
  int32_t segment_begin;
  int32_t segment_count;
  int32_t group; /* backward: sequences of one group share segments and are taken in order */
} t2_sequence;

typedef struct t2_attention {
  int32_t heads, kv_heads, head_dim;
  int64_t q_stride, kv_stride; /* floats between tokens; outputs have q_stride too */
  float scale;
  int32_t window; /* 0: all; else a query sees the last `window` positions, its own included */
  const t2_sequence* sequences;
  int32_t sequence_count;
  const t2_segment* segments;
  int32_t segment_count;
  int64_t segment_offset; /* floats to add to every segment's k, v, dk and dv: one table serves all layers of a cache */
  const float* q;
  float* out;
  float* lse; /* [tokens, heads] log-sum-exp of the scaled scores, or null; input of the backward */
  const float* dout;
  float* dq;
} t2_attention;

/// Per sampled row. A row with temperature 0 is greedy (lowest index wins ties).
typedef struct t2_sample_row {
  float temperature, top_p, min_p, repetition_penalty;
  int32_t top_k;
  uint64_t seed, sequence;
  int32_t position;    /* Philox counter: the absolute position of the token to be drawn */
  const int32_t* seen; /* tokens so far, for the penalty; or null */
  int32_t seen_count;
} t2_sample_row;

/// Loss rows: hidden[i] predicts target[i]. loss = Σ_i weight[i] · −log p_i(target[i]) + Σ_i kl_weight[i] · KL_i.
typedef struct t2_loss {
  const float* hidden;    /* [n, hidden_size], after the final norm */
  const float* reference; /* same shape, of the reference model, or null */
  t2_matrix head;         /* [vocabulary, hidden_size] */
  const int32_t* target;  /* host [n] */
  const float* weight;    /* host [n] */
  const float* kl_weight; /* host [n], or null: no KL */
  int32_t kl_direction;   /* 0: KL(policy ‖ reference), 1: KL(reference ‖ policy) */
  int32_t n;
  float* dhidden; /* [n, hidden_size], or null: log-probs only */
  float* logprob; /* host [n] */
  double* kl;     /* host [n], or null */
} t2_loss;

/// One decomposition: w = U diag(sigma) Vh, sigma descending, in each column of U the entry of largest magnitude positive. All host memory.
typedef struct t2_svd {
  const void* w; /* [rows, cols], contiguous */
  int32_t dtype;
  int32_t rows, cols;
  const char* driver; /* "auto", "gram", "gesvd", "gesvdj", "gesvdp" */
  float* u;           /* out [rows, r], r = min(rows, cols) */
  float* sigma;       /* out [r] */
  float* vh;          /* out [r, cols] */
  /* out; as in t2/svd.h */
  double residual, orthogonality_u, orthogonality_v, milliseconds;
  char driver_used[32];
} t2_svd;

/// p −= lr (m̂ / (√v̂ + eps) + decay · p), m and v updated in place; step counts from 1. All device vectors of n floats.
typedef struct t2_adamw {
  float* p;
  const float* gradient;
  float *m, *v;
  int64_t n;
  float learning_rate, beta1, beta2, eps, weight_decay;
  int32_t step;
} t2_adamw;

typedef int (*t2_cancelled)(void* data);

typedef struct t2_backend {
  uint32_t abi;
  const char* name;
  /* 1: device memory is ordinary memory, so that a mapped file's pages are matrices as they lie */
  int32_t host_memory;

  void (*destroy)(t2_context*);
  const char* (*last_error)(t2_context*);
  void (*set_cancel)(t2_context*, t2_cancelled cancelled, void* data);

  void* (*allocate)(t2_context*, size_t bytes); /* null when there is no memory; 64-byte aligned, not cleared */
  void (*release)(t2_context*, void*);
  int (*upload)(t2_context*, void* to, const void* from, size_t bytes);
  int (*download)(t2_context*, void* to, const void* from, size_t bytes);
  int (*copy)(t2_context*, void* to, const void* from, size_t bytes);
  int (*zero)(t2_context*, void* p, size_t bytes);
  /* bytes that allocate could still give, and what the device has in all */
  int (*memory)(t2_context*, int64_t* available, int64_t* total);
  /* a JSON object: name, and whatever else t2.report() should show; valid until the next call */
  const char* (*describe)(t2_context*);

  /* Both null where there are no graphs. Between begin and end the operators are recorded under `key`, or, when a recording of that key is
     there, only compared with it; end runs it. Results named "host" of `sample` are there after end; download and loss must not be called.
     RETRY: the calls were not those of the recording, nothing has run, the recording is dropped: do the same again. */
  int (*graph_begin)(t2_context*, uint64_t key);
  int (*graph_end)(t2_context*);

  /* y[n, cols] = table[tokens[i]] */
  int (*embed)(t2_context*, const t2_matrix* table, const int32_t* tokens, int32_t n, float* y);
  /* y = x / sqrt(mean(x²) + eps) · weight, per row; weight fp32 [size] */
  int (*rms_norm)(t2_context*, const float* x, const float* weight, int32_t n, int32_t size, float eps, float* y);
  /* dx += the gradient of rms_norm at x for dy */
  int (*rms_norm_backward)(t2_context*, const float* x, const float* weight, const float* dy, int32_t n, int32_t size, float eps,
                           float* dx);
  int (*linear)(t2_context*, const float* x, int64_t x_stride, int32_t n, const t2_linear* items, int32_t count);
  /* dx[n, w.cols] (+)= g[n, w.rows] · w */
  int (*linear_backward)(t2_context*, const float* g, int64_t g_stride, int32_t n, const t2_matrix* w, float* dx, int64_t dx_stride,
                         int32_t accumulate);
  /* q[i, :] *= scales[row_scale[i]] (host table of device vectors [r]); row_scale −1 or a null vector: q[i, :] = 0 */
  int (*scale_rows)(t2_context*, float* q, int64_t q_stride, int32_t n, int32_t r, const float* const* scales, const int32_t* row_scale);
  /* rotates the pairs (i, i + head_dim/2) of every head by positions[t] · inverse_frequency[i]; `inverse` turns back */
  int (*rope)(t2_context*, float* x, int64_t stride, int32_t n, int32_t heads, int32_t head_dim, const int32_t* positions,
              const float* inverse_frequencies, float factor, int32_t inverse);
  /* the rotation of a layer's queries and keys and the write into its cache in one pass */
  int (*rope_write)(t2_context*, const t2_rope_write*);
  /* y[i] = x[rows[i]];  and  y[rows[i]] += x[i] */
  int (*gather_rows)(t2_context*, const float* x, int64_t size, const int32_t* rows, int32_t n, float* y);
  int (*scatter_add_rows)(t2_context*, const float* x, int64_t size, const int32_t* rows, int32_t n, float* y);
  int (*attention)(t2_context*, const t2_attention*);
  int (*attention_backward)(t2_context*, const t2_attention*);
  /* y = silu(gate) · up */
  int (*swiglu)(t2_context*, const float* gate, const float* up, int64_t count, float* y);
  int (*swiglu_backward)(t2_context*, const float* gate, const float* up, const float* dy, int64_t count, float* dgate, float* dup);
  /* q[i] += Σ_t (g U)[t, i] · (x Vhᵀ)[t, i]: the gradient of z is sigma · q. U [m, r], Vh [r, k], g [n, m], x [n, k]; q device fp64 [r] */
  int (*z_gradient)(t2_context*, const float* g, int64_t g_stride, const float* x, int64_t x_stride, int32_t n, const t2_matrix* u,
                    const t2_matrix* vh, double* q);
  /* out = w + U diag(s) Vh in out's dtype; s device fp32 [r] */
  int (*merge)(t2_context*, const t2_matrix* w, const t2_matrix* u, const t2_matrix* vh, const float* s, void* out, int32_t out_dtype);
  int (*loss)(t2_context*, const t2_loss*);
  /* logits [n, vocabulary] device; ids and log-probs (of the untempered distribution; may be null) host */
  int (*sample)(t2_context*, float* logits, int32_t n, int32_t vocabulary, const t2_sample_row* rows, int32_t* ids, float* logprobs);

  /* out = base + Σ_k weights[k] (vectors[k] − base), element by element; host tables of `count` device vectors of n floats and of weights
   */
  int (*mix)(t2_context*, const float* const* vectors, const float* weights, int32_t count, float base, int64_t n, float* out);
  /* y += a x */
  int (*axpy)(t2_context*, float a, const float* x, int64_t n, float* y);
  /* to = from, rounded to nearest even */
  int (*cast)(t2_context*, const void* from, int32_t from_dtype, int64_t n, void* to, int32_t to_dtype);
  int (*adamw)(t2_context*, const t2_adamw*);

  /* Null where the core's own is used (the CPU). Several at once where the device has room; done(data, i) is called once per item, in any
     order, one call at a time, from the thread that called svd. Stops early when cancelled, or with the first error. */
  int (*svd)(t2_context*, t2_svd* items, int32_t count, void (*done)(void* data, int32_t item), void* data);
} t2_backend;

typedef struct t2_backend_options {
  uint32_t abi;             /* T2_BACKEND_ABI of the caller */
  int32_t device;           /* index */
  int32_t deterministic;    /* 1: a row's result does not depend on what else is in the batch */
  const char* library_path; /* folder to look for the vendor's libraries in first, or null */
} t2_backend_options;

/// What a backend's shared library exports, as "t2_backend_create". T2_OK: table and context are set. In any case `report` (of `size`
/// bytes, always terminated) gets a JSON array of what was tried: [{"what": "…", "path": "…", "ok": true | false, "why": "…"}].
typedef int (*t2_backend_create_fn)(const t2_backend_options* options, const t2_backend** table, t2_context** context, char* report,
                                    size_t size);

#ifdef __cplusplus
}
#endif
