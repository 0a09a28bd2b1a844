// Host emulation: __half with CUDA's conversions (round to nearest even, subnormals, infinities; a NaN becomes 0x7fff). Storage, no
// arithmetic.
#pragma once
#include <cstdint>

#include "t2/dtype.h"
#include "vector_types.h"

namespace t2::cuda::host {

inline float half_to_float(uint16_t h) { return f16_to_f32(h); }
inline uint16_t float_to_half(float f) { return f == f ? f32_to_f16(f) : 0x7fff; }

}  // namespace t2::cuda::host

struct __half_raw {
  unsigned short x;
};

struct __half {
  __half() = default;
  __half(float f) : bits(t2::cuda::host::float_to_half(f)) {}
  __half(double f) : __half(float(f)) {}
  __half(__half_raw r) : bits(r.x) {}
  operator float() const { return t2::cuda::host::half_to_float(bits); }
  operator __half_raw() const { return {bits}; }

 private:
  unsigned short bits;
};
using half = __half;

struct alignas(4) __half2 {
  __half x, y;
};
using half2 = __half2;

inline __half __ushort_as_half(unsigned short x) { return __half_raw{x}; }
inline unsigned short __half_as_ushort(__half h) { return __half_raw(h).x; }
inline __half __float2half(float f) { return f; }
inline __half __float2half_rn(float f) { return f; }
inline float __half2float(__half h) { return h; }
inline __half2 make_half2(__half x, __half y) { return {x, y}; }
inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
inline __half2 __floats2half2_rn(float x, float y) { return {x, y}; }
inline __half2 __float22half2_rn(float2 v) { return {v.x, v.y}; }
inline __half2 __float2half2_rn(float f) { return {f, f}; }
inline float2 __half22float2(__half2 v) { return {v.x, v.y}; }
inline float __low2float(__half2 v) { return v.x; }
inline float __high2float(__half2 v) { return v.y; }
inline __half __low2half(__half2 v) { return v.x; }
inline __half __high2half(__half2 v) { return v.y; }
inline __half2 __half2half2(__half h) { return {h, h}; }
