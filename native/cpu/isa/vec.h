// A vector of floats of the width the instruction set likes, in GCC/Clang vector extensions, so that one source serves every ISA.
// Only files under cpu/isa include this; everything is in an anonymous or ISA-named namespace, so no AVX code leaks into other objects.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace t2::cpu::T2_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int vw = 16;
#else
constexpr int vw = 8;
#endif

typedef float vf __attribute__((vector_size(vw * 4)));
typedef float vf_unaligned __attribute__((vector_size(vw * 4), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(vw * 4)));
typedef uint32_t vu __attribute__((vector_size(vw * 4)));
typedef uint16_t vh __attribute__((vector_size(vw * 2)));
typedef uint16_t vh_unaligned __attribute__((vector_size(vw * 2), aligned(2), may_alias));

inline vf load(const float* p) { return *reinterpret_cast<const vf_unaligned*>(p); }
inline void store(float* p, vf v) { *reinterpret_cast<vf_unaligned*>(p) = v; }
inline vf splat(float x) { return x - vf{}; }

/// The first `n` < vw floats, zeros behind them.
inline vf load_part(const float* p, int n) {
  vf v{};
  std::memcpy(&v, p, size_t(n) * 4);
  return v;
}
inline void store_part(float* p, vf v, int n) { std::memcpy(p, &v, size_t(n) * 4); }

/// The widening is said outright: from __builtin_convertvector GCC makes two halves and joins them, four instructions where one does.
inline vf from_bf16(vh h) {
#if defined(__AVX512F__)
  return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)h), 16);
#elif defined(__AVX2__)
  return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32((__m128i)h), 16);
#else
  vu u = __builtin_convertvector(h, vu) << 16;
  return (vf)u;
#endif
}

inline float f16_to_f32(uint16_t h) {
  uint32_t sign = uint32_t(h & 0x8000) << 16, e = (h >> 10) & 31, m = h & 1023, u;
  if (e == 31) {
    u = sign | 0x7f800000 | (m << 13);
  } else if (e) {
    u = sign | ((e + 112) << 23) | (m << 13);
  } else {
    float f = float(m) * 5.9604644775390625e-8f;  // 2^-24: subnormals
    std::memcpy(&u, &f, 4);
    u |= sign;
  }
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}

inline vf from_f16(vh h) {
#if defined(__AVX512F__)
  return (vf)_mm512_cvtph_ps((__m256i)h);
#elif defined(__F16C__)
  return (vf)_mm256_cvtph_ps((__m128i)h);
#else
  vf v;
  for (int i = 0; i < vw; i++) v[i] = f16_to_f32(h[i]);
  return v;
#endif
}

// Element types of stored matrices, each with a way to read a vector or a part of one.
struct as_f32 {
  typedef float type;
  static vf at(const float* p) { return load(p); }
  static vf part(const float* p, int n) { return load_part(p, n); }
};
struct as_bf16 {
  typedef uint16_t type;
  static vf at(const uint16_t* p) { return from_bf16(*reinterpret_cast<const vh_unaligned*>(p)); }
  static vf part(const uint16_t* p, int n) {
    vh h{};
    std::memcpy(&h, p, size_t(n) * 2);
    return from_bf16(h);
  }
};
struct as_f16 {
  typedef uint16_t type;
  static vf at(const uint16_t* p) { return from_f16(*reinterpret_cast<const vh_unaligned*>(p)); }
  static vf part(const uint16_t* p, int n) {
    vh h{};
    std::memcpy(&h, p, size_t(n) * 2);
    return from_f16(h);
  }
};

/// Rows and columns swapped: log2(vw) rounds of interleaving the first half of the vectors with the second.
inline void transpose(vf v[vw]) {
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define T2_INTERLEAVE
#endif
#endif
#if defined(T2_INTERLEAVE)
#pragma GCC unroll 4
  for (int round = 1; round < vw; round *= 2) {
    vf t[vw];
#pragma GCC unroll 8
    for (int i = 0; i < vw / 2; i++) {
#if defined(__AVX512F__)
      t[2 * i] = __builtin_shufflevector(v[i], v[i + vw / 2], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      t[2 * i + 1] = __builtin_shufflevector(v[i], v[i + vw / 2], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#else
      t[2 * i] = __builtin_shufflevector(v[i], v[i + vw / 2], 0, 8, 1, 9, 2, 10, 3, 11);
      t[2 * i + 1] = __builtin_shufflevector(v[i], v[i + vw / 2], 4, 12, 5, 13, 6, 14, 7, 15);
#endif
    }
#pragma GCC unroll 16
    for (int i = 0; i < vw; i++) v[i] = t[i];
  }
#else
  float t[vw][vw];
  for (int i = 0; i < vw; i++)
    for (int j = 0; j < vw; j++) t[j][i] = v[i][j];
  std::memcpy(v, t, sizeof t);
#endif
}

/// Sum of the lanes, always in the same order: every kernel that ends in it gives the same bits for the same products.
inline float sum(vf v) {
#if defined(__AVX512F__)
  __m256 a = _mm256_add_ps(_mm512_castps512_ps256((__m512)v), _mm512_extractf32x8_ps((__m512)v, 1));
  __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  b = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
#elif defined(__AVX2__)
  __m128 b = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
  b = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
#else
  float s[4];
  for (int i = 0; i < 4; i++) s[i] = v[i] + v[i + 4];
  return (s[0] + s[2]) + (s[1] + s[3]);
#endif
}
inline float max_of(vf v) {
  float m = v[0];
  for (int i = 1; i < vw; i++) m = v[i] > m ? v[i] : m;
  return m;
}
inline vf max(vf a, vf b) { return a > b ? a : b; }
inline vf min(vf a, vf b) { return a < b ? a : b; }

/// e^x to about 1 ulp (Cephes' polynomial); 0 below −87.3, saturates above 88.4.
inline vf exp(vf x) {
  vf lo = splat(-87.33654f), hi = splat(88.37626f);
  vi zero = x < lo;
  x = min(max(x, lo), hi);
  vf t = x * 1.44269504088896341f;
#if defined(__AVX512F__)
  vf n = (vf)_mm512_roundscale_ps((__m512)t, 0);
#elif defined(__AVX2__)
  vf n = (vf)_mm256_round_ps((__m256)t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  vf big = splat(12582912.f);  // 1.5·2^23: adding it rounds to the nearest integer
  vf n = (t + big) - big;
#endif
  x = x - n * 0.693359375f;
  x = x - n * -2.12194440e-4f;
  vf p = splat(1.9875691500e-4f);
  p = p * x + 1.3981999507e-3f;
  p = p * x + 8.3334519073e-3f;
  p = p * x + 4.1665795894e-2f;
  p = p * x + 1.6666665459e-1f;
  p = p * x + 5.0000001201e-1f;
  p = p * (x * x) + x + 1.0f;
  vi e = (__builtin_convertvector(n, vi) + 127) << 23;
  vf r = p * (vf)e;
  return zero ? vf{} : r;
}

}  // namespace
}  // namespace t2::cpu::T2_ISA
