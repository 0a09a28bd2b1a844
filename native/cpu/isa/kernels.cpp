// One source, compiled once per instruction set with T2_ISA naming the variant. Everything but the table is in anonymous namespaces.
#include "../kernels.h"

#include "vec.h"

#include "linear.inc"
#include "panel.inc"

namespace t2::cpu::T2_ISA {
namespace {

void linear(int dtype, const void* w, int64_t w_stride, int rows, int cols, const float* x, int64_t x_stride, int n, float* y,
            int64_t y_stride, bool accumulate, float* scratch) {
  if (dtype == 0) linear_rows<as_f32>(static_cast<const float*>(w), w_stride, rows, cols, x, x_stride, n, y, y_stride, accumulate, scratch);
  else if (dtype == 1)
    linear_rows<as_f16>(static_cast<const uint16_t*>(w), w_stride, rows, cols, x, x_stride, n, y, y_stride, accumulate, scratch);
  else linear_rows<as_bf16>(static_cast<const uint16_t*>(w), w_stride, rows, cols, x, x_stride, n, y, y_stride, accumulate, scratch);
}

/// a · b + c, fused where the instruction set can. Said outright: left to itself, GCC vectorises an in-order sum as products and additions
/// and fuses only the rest of the loop, so that the bits would depend on where a sum is cut (pages, chunks).
inline float multiply_add(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

/// NR rows of `out` × NV vectors of columns, accumulators in registers over all of j.
template <int NR, int NV>
inline void weighted_tile(const float* p, int64_t p_row, int64_t p_col, int inner, const float* v, int64_t v_stride, float* out,
                          int64_t out_stride) {
  vf acc[NR][NV];
  for (int r = 0; r < NR; r++)
    for (int c = 0; c < NV; c++) acc[r][c] = load(out + r * out_stride + c * vw);
  for (int j = 0; j < inner; j++) {
    vf vv[NV];
    for (int c = 0; c < NV; c++) vv[c] = load(v + j * v_stride + c * vw);
    for (int r = 0; r < NR; r++) {
      vf b = splat(p[r * p_row + j * p_col]);
      for (int c = 0; c < NV; c++) acc[r][c] += b * vv[c];
    }
  }
  for (int r = 0; r < NR; r++)
    for (int c = 0; c < NV; c++) store(out + r * out_stride + c * vw, acc[r][c]);
}

template <int NV>
inline void weighted_columns(const float* p, int64_t p_row, int64_t p_col, int rows, int inner, const float* v, int64_t v_stride,
                             float* out, int64_t out_stride) {
  constexpr int most = vw == 16 ? 6 : 3;
  int i = 0;
  for (; i + most <= rows; i += most)
    weighted_tile<most, NV>(p + i * p_row, p_row, p_col, inner, v, v_stride, out + i * out_stride, out_stride);
  for (; i < rows; i++) weighted_tile<1, NV>(p + i * p_row, p_row, p_col, inner, v, v_stride, out + i * out_stride, out_stride);
}

void weighted_rows(const float* p, int64_t p_row, int64_t p_col, int rows, int inner, const float* v, int64_t v_stride, int cols,
                   float* out, int64_t out_stride) {
  int c = 0;
  for (; c + 4 * vw <= cols; c += 4 * vw) weighted_columns<4>(p, p_row, p_col, rows, inner, v + c, v_stride, out + c, out_stride);
  for (; c + vw <= cols; c += vw) weighted_columns<1>(p, p_row, p_col, rows, inner, v + c, v_stride, out + c, out_stride);
  for (; c < cols; c++)
    for (int i = 0; i < rows; i++) {
      float a = out[i * out_stride + c];
      for (int j = 0; j < inner; j++) a = multiply_add(p[i * p_row + j * p_col], v[j * v_stride + c], a);
      out[i * out_stride + c] = a;
    }
}

template <class W>
void convert_as(const void* from, float* to, int64_t count) {
  auto p = static_cast<const typename W::type*>(from);
  int64_t i = 0;
  for (; i + vw <= count; i += vw) store(to + i, W::at(p + i));
  if (i < count) store_part(to + i, W::part(p + i, int(count - i)), int(count - i));
}

void convert(int dtype, const void* from, float* to, int64_t count) {
  if (dtype == 0) std::memcpy(to, from, size_t(count) * 4);
  else if (dtype == 1) convert_as<as_f16>(from, to, count);
  else convert_as<as_bf16>(from, to, count);
}

uint16_t bf16_of(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  if ((u & 0x7fffffff) > 0x7f800000) return uint16_t((u >> 16) | 0x40);
  return uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

uint16_t f16_of(float f) {
#if defined(__F16C__)
  return _cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT);
#else
  uint32_t u;
  std::memcpy(&u, &f, 4);
  uint32_t sign = (u >> 16) & 0x8000, a = u & 0x7fffffff;
  if (a > 0x7f800000) return uint16_t(sign | 0x7e00);
  if (a >= 0x477ff000) return uint16_t(sign | 0x7c00);
  if (a < 0x38800000) {
    float g;
    std::memcpy(&g, &a, 4);
    float scaled = g * 16777216.f;
    uint32_t q = uint32_t(scaled);
    float rest = scaled - float(q);
    if (rest > .5f || (rest == .5f && (q & 1))) q++;
    return uint16_t(sign | q);
  }
  uint32_t r = a - 0x38000000;
  r = (r + 0xfff + ((r >> 13) & 1)) >> 13;
  return uint16_t(sign | r);
#endif
}

void round(int dtype, const float* from, void* to, int64_t count) {
  if (dtype == 0) {
    std::memcpy(to, from, size_t(count) * 4);
  } else if (dtype == 1) {
    auto o = static_cast<uint16_t*>(to);
    for (int64_t i = 0; i < count; i++) o[i] = f16_of(from[i]);
  } else {
    auto o = static_cast<uint16_t*>(to);
    for (int64_t i = 0; i < count; i++) o[i] = bf16_of(from[i]);
  }
}

float dot(const float* a, const float* b, int count) {
  vf acc{};
  int i = 0;
  for (; i + vw <= count; i += vw) acc += load(a + i) * load(b + i);
  if (i < count) acc += load_part(a + i, count - i) * load_part(b + i, count - i);
  return sum(acc);
}

inline float inverse_rms(const float* x, int size, float eps) { return 1.f / __builtin_sqrtf(dot(x, x, size) / float(size) + eps); }

void rms_norm(const float* x, const float* weight, int size, float eps, float* y) {
  float inv = inverse_rms(x, size, eps);
  for (int i = 0; i < size; i++) y[i] = weight[i] * (x[i] * inv);
}

// y = w x s with s = (mean x² + eps)^-½:  dx = s w dy − x s³ / size · Σ w dy x
void rms_norm_backward(const float* x, const float* weight, const float* dy, int size, float eps, float* dx) {
  float inv = inverse_rms(x, size, eps);
  vf acc{};
  int i = 0;
  for (; i + vw <= size; i += vw) acc += load(weight + i) * load(dy + i) * load(x + i);
  float d = sum(acc);
  for (; i < size; i++) d += weight[i] * dy[i] * x[i];
  float c = d * inv * inv * inv / float(size);
  for (i = 0; i < size; i++) dx[i] += inv * weight[i] * dy[i] - c * x[i];
}

inline vf sigmoid(vf x) { return 1.0f / (1.0f + exp(-x)); }

inline vf silu_up(vf g, vf u) { return g * sigmoid(g) * u; }

void swiglu(const float* gate, const float* up, int64_t count, float* y) {
  int64_t i = 0;
  for (; i + vw <= count; i += vw) store(y + i, silu_up(load(gate + i), load(up + i)));
  if (int rest = int(count - i)) store_part(y + i, silu_up(load_part(gate + i, rest), load_part(up + i, rest)), rest);
}

void swiglu_backward(const float* gate, const float* up, const float* dy, int64_t count, float* dgate, float* dup) {
  for (int64_t i = 0; i < count; i += vw) {
    int n = count - i < vw ? int(count - i) : vw;
    vf g = load_part(gate + i, n), u = load_part(up + i, n), d = load_part(dy + i, n);
    vf s = sigmoid(g);
    store_part(dgate + i, d * u * s * (1.0f + g * (1.0f - s)), n);
    store_part(dup + i, d * g * s, n);
  }
}

float softmax(float* s, int count, float scale, float* maximum) {
  vf m = splat(-3e38f);
  int i = 0;
  for (; i + vw <= count; i += vw) m = max(m, load(s + i));
  float top = max_of(m);
  for (; i < count; i++) top = s[i] > top ? s[i] : top;
  top *= scale;
  *maximum = top;
  vf acc{};
  for (i = 0; i + vw <= count; i += vw) {
    vf e = exp(load(s + i) * scale - top);
    store(s + i, e);
    acc += e;
  }
  if (int rest = count - i) {
    vf e = exp(load_part(s + i, rest) * scale - top);
    vf kept{};
    std::memcpy(&kept, &e, size_t(rest) * 4);
    store_part(s + i, e, rest);
    acc += kept;
  }
  return sum(acc);
}

void exp_minus(float* p, int count, float scale, float lse) {
  for (int i = 0; i < count; i += vw) {
    int n = count - i < vw ? count - i : vw;
    store_part(p + i, exp(load_part(p + i, n) * scale - lse), n);
  }
}

float sum_exp(const float* x, int count, float* maximum) {
  vf m = splat(-3e38f);
  int i = 0;
  for (; i + vw <= count; i += vw) m = max(m, load(x + i));
  float top = max_of(m);
  for (; i < count; i++) top = x[i] > top ? x[i] : top;
  *maximum = top;
  // four accumulators: at vocabulary size one fp32 accumulator would lose digits
  vf acc[4] = {};
  for (i = 0; i + 4 * vw <= count; i += 4 * vw)
    for (int a = 0; a < 4; a++) acc[a] += exp(load(x + i + a * vw) - top);
  double total = 0;
  for (int a = 0; a < 4; a++)
    for (int l = 0; l < vw; l++) total += acc[a][l];
  for (; i < count; i++) {
    vf e = exp(splat(x[i] - top));
    total += e[0];
  }
  return float(total);
}

void softmax_given(const float* x, int count, float maximum, float factor, float* y) {
  for (int i = 0; i < count; i += vw) {
    int n = count - i < vw ? count - i : vw;
    store_part(y + i, exp(load_part(x + i, n) - maximum) * factor, n);
  }
}

void multiply(const float* a, float* x, int count) {
  for (int i = 0; i < count; i++) x[i] *= a[i];
}

void add(const float* a, float* x, int64_t count) {
  for (int64_t i = 0; i < count; i++) x[i] += a[i];
}

#define T2_TEXT(x) #x
#define T2_STRING(x) T2_TEXT(x)

}  // namespace

extern const kernels table;
const kernels table = {T2_STRING(T2_ISA), linear,    panel_from, panel_tile, panel_rows,        pack_tokens, linear_panels,
                       weighted_rows,     convert,   round,      rms_norm,   rms_norm_backward, swiglu,      swiglu_backward,
                       softmax,           exp_minus, dot,        sum_exp,    softmax_given,     multiply,    add};

}  // namespace t2::cpu::T2_ISA
