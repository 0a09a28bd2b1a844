// Host emulation: CUDA's vector types with CUDA's alignments, and dim3.
#pragma once

#define T2_HOST_VECTOR(type, name, align2, align4)                            \
  struct name##1 { type x; };                                                 \
  struct alignas(align2) name##2 { type x, y; };                              \
  struct name##3 { type x, y, z; };                                           \
  struct alignas(align4) name##4 { type x, y, z, w; };                        \
  inline name##1 make_##name##1(type x) { return {x}; }                       \
  inline name##2 make_##name##2(type x, type y) { return {x, y}; }            \
  inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; } \
  inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }

T2_HOST_VECTOR(signed char, char, 2, 4)
T2_HOST_VECTOR(unsigned char, uchar, 2, 4)
T2_HOST_VECTOR(short, short, 4, 8)
T2_HOST_VECTOR(unsigned short, ushort, 4, 8)
T2_HOST_VECTOR(int, int, 8, 16)
T2_HOST_VECTOR(unsigned, uint, 8, 16)
T2_HOST_VECTOR(long long, longlong, 16, 16)
T2_HOST_VECTOR(unsigned long long, ulonglong, 16, 16)
T2_HOST_VECTOR(float, float, 8, 16)
T2_HOST_VECTOR(double, double, 16, 16)
#undef T2_HOST_VECTOR

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};
