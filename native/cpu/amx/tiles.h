// The eight tile registers of AMX. Written as instructions, so that the compiler keeps loads and stores of tiles in the order of the memory
// accesses around them, which its own intrinsics do not promise.
#pragma once
#include <cstdint>

namespace t2::cpu::T2_ISA {
namespace {

#define T2_TILE inline __attribute__((always_inline)) void

template <int T>
T2_TILE tile_load(const void* p, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride), "i"(T) : "memory");
}
template <int T>
T2_TILE tile_store(void* p, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(stride), "i"(T) : "memory");
}
template <int T>
T2_TILE tile_zero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(T));
}
/// C[m, n] += Σ_k A[m, 2k] B[k, 2n] + A[m, 2k + 1] B[k, 2n + 1]
template <int C, int A, int B>
T2_TILE tile_product() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}

struct alignas(64) tile_shapes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

/// Tiles of 16 × 64 bytes; those below `narrow` have rows of `narrow_bytes`.
inline void tiles_on(int narrow = 0, int narrow_bytes = 64) {
  tile_shapes shapes;
  for (int i = 0; i < 8; i++) {
    shapes.row_bytes[i] = uint16_t(i < narrow ? narrow_bytes : 64);
    shapes.rows[i] = 16;
  }
  asm volatile("ldtilecfg %0" ::"m"(shapes));
}
inline void tiles_off() { asm volatile("tilerelease"); }

}  // namespace
}  // namespace t2::cpu::T2_ISA
