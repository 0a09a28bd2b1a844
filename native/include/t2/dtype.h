// Element types of stored matrices and the conversions that are not worth a vector.
#pragma once
#include <cstdint>
#include <cstring>

namespace t2 {

enum class dtype : int32_t { f32 = 0, f16 = 1, bf16 = 2 };

inline int64_t size_of(dtype t) { return t == dtype::f32 ? 4 : 2; }
inline const char* name_of(dtype t) { return t == dtype::f32 ? "F32" : t == dtype::f16 ? "F16" : "BF16"; }

inline float bf16_to_f32(uint16_t h) {
  uint32_t u = uint32_t(h) << 16;
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}

/// Round to nearest even; NaN stays NaN.
inline uint16_t f32_to_bf16(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  if ((u & 0x7fffffff) > 0x7f800000) return uint16_t((u >> 16) | 0x40);
  return uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

inline float f16_to_f32(uint16_t h) {
  uint32_t sign = uint32_t(h & 0x8000) << 16, e = (h >> 10) & 31, m = h & 1023, u;
  float f;
  if (e == 0) {
    f = float(m) * 5.9604644775390625e-8f;  // 2^-24
    std::memcpy(&u, &f, 4);
    u |= sign;
  } else {
    u = sign | (e == 31 ? 0x7f800000u : (e + 112) << 23) | (m << 13);
  }
  std::memcpy(&f, &u, 4);
  return f;
}

/// Round to nearest even, overflow to infinity, subnormals kept.
inline uint16_t f32_to_f16(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  uint32_t sign = (u >> 16) & 0x8000, a = u & 0x7fffffff;
  if (a > 0x7f800000) return uint16_t(sign | 0x7e00);
  if (a >= 0x477ff000) return uint16_t(sign | 0x7c00);
  if (a < 0x38800000) {  // below 2^-14: a multiple of 2^-24
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
}

}  // namespace t2
