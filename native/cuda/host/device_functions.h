// Host emulation: what kernels call. Barriers, warp functions, atomics (only one fibre runs at a time: plain operations), bit and math
// functions.
#pragma once
#include <math.h>

#include <bit>
#include <cstdint>
#include <cstring>

#include "fibre.h"

// Barriers and warps

inline void __syncthreads() { t2::cuda::host::barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  t2::cuda::host::collective("__syncwarp", mask, nullptr, [](void* const*, unsigned) {});
}
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace t2::cuda::host {

enum class shuffle_kind { index, up, down, exclusive };
struct shuffle_lane {
  uint64_t value, result;
  int operand, width;
};
uint64_t shuffle(shuffle_kind, unsigned mask, uint64_t bits, int operand, int width) __attribute__((visibility("hidden")));
unsigned ballot(const char* what, unsigned mask, bool predicate) __attribute__((visibility("hidden")));

template <class T>
T shuffle_value(shuffle_kind kind, unsigned mask, T value, int operand, int width) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = shuffle(kind, mask, bits, operand, width);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace t2::cuda::host

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  return t2::cuda::host::shuffle_value(t2::cuda::host::shuffle_kind::index, mask, value, lane, width);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  return t2::cuda::host::shuffle_value(t2::cuda::host::shuffle_kind::up, mask, value, int(delta), width);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  return t2::cuda::host::shuffle_value(t2::cuda::host::shuffle_kind::down, mask, value, int(delta), width);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  return t2::cuda::host::shuffle_value(t2::cuda::host::shuffle_kind::exclusive, mask, value, lanes, width);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) { return t2::cuda::host::ballot("__ballot_sync", mask, predicate != 0); }
inline int __any_sync(unsigned mask, int predicate) { return t2::cuda::host::ballot("__any_sync", mask, predicate != 0) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return t2::cuda::host::ballot("__all_sync", mask, predicate != 0) == mask; }

// Atomics: the value before

#define T2_HOST_ATOMIC(name, type, next) \
  inline type name(type* p, type v) {    \
    type old = *p;                       \
    *p = next;                           \
    return old;                          \
  }
#define T2_HOST_ATOMICS(type)                            \
  T2_HOST_ATOMIC(atomicAdd, type, old + v)               \
  T2_HOST_ATOMIC(atomicMin, type, v < old ? v : old)     \
  T2_HOST_ATOMIC(atomicMax, type, v > old ? v : old)     \
  T2_HOST_ATOMIC(atomicAnd, type, old& v)                \
  T2_HOST_ATOMIC(atomicOr, type, old | v)                \
  T2_HOST_ATOMIC(atomicXor, type, old ^ v)               \
  T2_HOST_ATOMIC(atomicExch, type, v)                    \
  inline type atomicCAS(type* p, type compare, type v) { \
    type old = *p;                                       \
    if (old == compare) *p = v;                          \
    return old;                                          \
  }
T2_HOST_ATOMICS(int)
T2_HOST_ATOMICS(unsigned)
T2_HOST_ATOMICS(unsigned long long)
T2_HOST_ATOMIC(atomicAdd, float, old + v)
T2_HOST_ATOMIC(atomicAdd, double, old + v)
T2_HOST_ATOMIC(atomicExch, float, v)
inline int atomicSub(int* p, int v) { return atomicAdd(p, -v); }
inline unsigned atomicSub(unsigned* p, unsigned v) { return atomicAdd(p, 0u - v); }
inline unsigned atomicInc(unsigned* p, unsigned limit) {
  unsigned old = *p;
  *p = old >= limit ? 0 : old + 1;
  return old;
}
#undef T2_HOST_ATOMICS
#undef T2_HOST_ATOMIC

// Loads and stores with cache hints

template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, T v) {
  *p = v;
}
template <class T>
void __stcg(T* p, T v) {
  *p = v;
}

// Bits

inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(unsigned(x)); }
inline int __clzll(long long x) { return std::countl_zero((unsigned long long)x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __brev(unsigned x) {
  x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
  x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
  x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
  return __builtin_bswap32(x);
}
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((unsigned long long)a * b >> 32); }
inline int __mulhi(int a, int b) { return int((long long)a * b >> 32); }
__extension__ inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)((unsigned __int128)a * b >> 64);
}

// Math

namespace t2::cuda::host {
/// Keeps the compiler from making one multiply-add of a product and a sum.
template <class T>
inline T separate(T x) {
#if defined(__x86_64__)
  asm("" : "+x"(x));
#elif defined(__aarch64__)
  asm("" : "+w"(x));
#endif
  return x;
}
inline float reciprocal_root(float x) { return 1.0f / sqrtf(x); }
inline double reciprocal_root(double x) { return 1.0 / sqrt(x); }
}  // namespace t2::cuda::host

// Macros where the C library has a declaration of the same name, or may have one
#define __expf(x) (::expf(x))
#define __exp10f(x) (::exp10f(x))
#define __logf(x) (::logf(x))
#define __log2f(x) (::log2f(x))
#define __log10f(x) (::log10f(x))
#define __sinf(x) (::sinf(x))
#define __cosf(x) (::cosf(x))
#define __tanf(x) (::tanf(x))
#define __powf(x, y) (::powf(x, y))
#define rsqrtf(x) (::t2::cuda::host::reciprocal_root(static_cast<float>(x)))
#define rsqrt(x) (::t2::cuda::host::reciprocal_root(x))

inline float __fadd_rn(float a, float b) { return t2::cuda::host::separate(a + b); }
inline float __fsub_rn(float a, float b) { return t2::cuda::host::separate(a - b); }
inline float __fmul_rn(float a, float b) { return t2::cuda::host::separate(a * b); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline double __dadd_rn(double a, double b) { return t2::cuda::host::separate(a + b); }
inline double __dsub_rn(double a, double b) { return t2::cuda::host::separate(a - b); }
inline double __dmul_rn(double a, double b) { return t2::cuda::host::separate(a * b); }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double x) { return sqrt(x); }
inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline float __double2float_rn(double x) { return float(x); }
inline float __int2float_rn(int x) { return float(x); }
inline float __uint2float_rn(unsigned x) { return float(x); }
inline float __ll2float_rn(long long x) { return float(x); }
inline int __float2int_rn(float x) { return int(rintf(x)); }
inline int __float2int_rz(float x) { return int(x); }
inline int __float2int_rd(float x) { return int(floorf(x)); }
inline int __float2int_ru(float x) { return int(ceilf(x)); }
inline unsigned __float2uint_rn(float x) { return unsigned(rintf(x)); }

#define T2_HOST_MIN_MAX(a_type, b_type, type)                                                         \
  inline type min(a_type a, b_type b) {                                                               \
    return static_cast<type>(b) < static_cast<type>(a) ? static_cast<type>(b) : static_cast<type>(a); \
  }                                                                                                   \
  inline type max(a_type a, b_type b) { return static_cast<type>(a) < static_cast<type>(b) ? static_cast<type>(b) : static_cast<type>(a); }
T2_HOST_MIN_MAX(int, int, int)
T2_HOST_MIN_MAX(unsigned, unsigned, unsigned)
T2_HOST_MIN_MAX(int, unsigned, unsigned)
T2_HOST_MIN_MAX(unsigned, int, unsigned)
T2_HOST_MIN_MAX(long, long, long)
T2_HOST_MIN_MAX(unsigned long, unsigned long, unsigned long)
T2_HOST_MIN_MAX(long long, long long, long long)
T2_HOST_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
#undef T2_HOST_MIN_MAX
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline double min(float a, double b) { return fmin(a, b); }
inline double max(float a, double b) { return fmax(a, b); }
inline double min(double a, float b) { return fmin(a, b); }
inline double max(double a, float b) { return fmax(a, b); }
