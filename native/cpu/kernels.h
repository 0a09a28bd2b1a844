// The single-threaded kernels that are compiled once per instruction set (cpu/isa/kernels.cpp) and chosen at run time.
#pragma once
#include <cstdint>

#include "matrix_unit.h"

namespace t2::cpu {

struct kernels {
  const char* isa;

  /// y[t, j] (+)= Σ_k x[t, k] w[j, k]. `scratch`: linear_scratch floats. A row of y has the same bits for every n.
  void (*linear)(int dtype, const void* w, int64_t w_stride, int rows, int cols, const float* x, int64_t x_stride, int n, float* y,
                 int64_t y_stride, bool accumulate, float* scratch);
  /// The same products, bit for bit, for many tokens (from `panel_from` on it is the faster way): x is laid out once by pack_tokens, for
  /// all matrices and all threads. A tile of tokens is panel_tile of them, a panel of rows panel_rows; `scratch`: panel_scratch floats.
  int panel_from, panel_tile, panel_rows;
  /// Lays out tokens first … first + count − 1 (whole tiles, or up to the last token) of n; out: n · cols floats, cols rounded up to 16.
  void (*pack_tokens)(const float* x, int64_t x_stride, int n, int first, int count, int cols, float* out);
  void (*linear_panels)(int dtype, const void* w, int64_t w_stride, int rows, int cols, const float* x, int n, float* y, int64_t y_stride,
                        bool accumulate, float* scratch);
  /// out[i, :] += Σ_j p[i · p_row + j · p_col] · v[j, :], j in order.
  void (*weighted_rows)(const float* p, int64_t p_row, int64_t p_col, int rows, int inner, const float* v, int64_t v_stride, int cols,
                        float* out, int64_t out_stride);
  void (*convert)(int dtype, const void* from, float* to, int64_t count);
  /// to = from rounded to nearest even in dtype.
  void (*round)(int dtype, const float* from, void* to, int64_t count);
  void (*rms_norm)(const float* x, const float* weight, int size, float eps, float* y);
  void (*rms_norm_backward)(const float* x, const float* weight, const float* dy, int size, float eps, float* dx);
  void (*swiglu)(const float* gate, const float* up, int64_t count, float* y);
  void (*swiglu_backward)(const float* gate, const float* up, const float* dy, int64_t count, float* dgate, float* dup);
  /// s = exp(scale · s − max), returns the sum; *maximum = max of scale · s.
  float (*softmax)(float* s, int count, float scale, float* maximum);
  /// p = exp(scale · p − lse)
  void (*exp_minus)(float* p, int count, float scale, float lse);
  float (*dot)(const float* a, const float* b, int count);
  /// log Σ exp(x): *maximum and the sum of exp(x − maximum).
  float (*sum_exp)(const float* x, int count, float* maximum);
  /// x[i] = exp(x[i] − maximum) · factor
  void (*softmax_given)(const float* x, int count, float maximum, float factor, float* y);
  void (*multiply)(const float* a, float* x, int count);  // x *= a
  void (*add)(const float* a, float* x, int64_t count);   // x += a

  /// Where there is one, products with 16-bit matrices are its.
  const matrix_unit* unit = nullptr;
};

constexpr int linear_scratch = 4 * 1152;
constexpr int panel_scratch = 48 * 1152;

/// The best variant this processor runs; T2_CPU=baseline|avx2|avx512|amx forces a lower one, amx-emulated plays the matrix unit on AVX-512.
const kernels& select_kernels();

}  // namespace t2::cpu
