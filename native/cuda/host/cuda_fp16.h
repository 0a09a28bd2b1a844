// Host emulation: __half with CUDA's conversions (round to nearest even, subnormals, infinities; a NaN becomes 0x7fff). Storage, no
// arithmetic.
#pragma once
#include <bit>
#include <cstdint>

#include "vector_types.h"

namespace t2::cuda::host {

inline float half_to_float(uint16_t h) {
  // Multiplying the shifted bits by a power of two moves the exponent, of infinities and NaN too; subnormals come from a subtraction.
  const uint32_t w = uint32_t(h) << 16, sign = w & 0x80000000u, twice = w + w;
  const float normal = std::bit_cast<float>((twice >> 4) + (0xe0u << 23)) * 0x1p-112f;
  const float subnormal = std::bit_cast<float>((twice >> 17) | (126u << 23)) - 0.5f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(twice < (1u << 27) ? subnormal : normal));
}

inline uint16_t float_to_half(float f) {
  // The sum with a power of two that stands 13 bits above rounds as a half rounds, to nearest even, whatever the exponent.
  const uint32_t w = std::bit_cast<uint32_t>(f), twice = w + w, sign = w & 0x80000000u;
  if (twice > 0xff000000u) return 0x7fff;
  uint32_t bias = twice & 0xff000000u;
  if (bias < 0x71000000u) bias = 0x71000000u;
  float base = (std::bit_cast<float>(w & 0x7fffffffu) * 0x1p+112f) * 0x1p-110f;
  base = std::bit_cast<float>((bias >> 1) + 0x07800000u) + base;
  const uint32_t bits = std::bit_cast<uint32_t>(base);
  return uint16_t((sign >> 16) | (((bits >> 13) & 0x7c00u) + (bits & 0x0fffu)));
}

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
