// The same tile registers in plain C++, so that what is written over them is tested where no processor has them. Sums as Intel's manual
// says: within a product, those of the even and of the odd numbers each in order, fused, and their sum added.
#pragma once
#include <cstdint>
#include <cstring>

namespace t2::cpu::T2_ISA {
namespace {

#define T2_TILE inline void

struct emulated_tiles {
  int row_bytes[8];
  alignas(64) char rows[8][16][64];
};
inline emulated_tiles& tiles() {
  static thread_local emulated_tiles state;
  return state;
}

template <int T>
T2_TILE tile_load(const void* p, int64_t stride) {
  for (int r = 0; r < 16; r++) std::memcpy(tiles().rows[T][r], static_cast<const char*>(p) + r * stride, size_t(tiles().row_bytes[T]));
}
template <int T>
T2_TILE tile_store(void* p, int64_t stride) {
  for (int r = 0; r < 16; r++) std::memcpy(static_cast<char*>(p) + r * stride, tiles().rows[T][r], size_t(tiles().row_bytes[T]));
}
template <int T>
T2_TILE tile_zero() {
  std::memset(tiles().rows[T], 0, sizeof tiles().rows[T]);
}

inline float tile_number(const char* row, int i) {
  uint16_t half;
  std::memcpy(&half, row + 2 * i, 2);
  uint32_t bits = uint32_t(half) << 16;
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

template <int C, int A, int B>
T2_TILE tile_product() {
  emulated_tiles& t = tiles();
  for (int m = 0; m < 16; m++)
    for (int n = 0; n < t.row_bytes[C] / 4; n++) {
      float even = 0, odd = 0, sum;
      for (int k = 0; k < 16; k++) {
        even = __builtin_fmaf(tile_number(t.rows[A][m], 2 * k), tile_number(t.rows[B][k], 2 * n), even);
        odd = __builtin_fmaf(tile_number(t.rows[A][m], 2 * k + 1), tile_number(t.rows[B][k], 2 * n + 1), odd);
      }
      std::memcpy(&sum, t.rows[C][m] + 4 * n, 4);
      sum += even + odd;
      std::memcpy(t.rows[C][m] + 4 * n, &sum, 4);
    }
}

inline void tiles_on(int narrow = 0, int narrow_bytes = 64) {
  std::memset(&tiles(), 0, sizeof(emulated_tiles));
  for (int i = 0; i < 8; i++) tiles().row_bytes[i] = i < narrow ? narrow_bytes : 64;
}
inline void tiles_off() { std::memset(&tiles(), 0xff, sizeof(emulated_tiles)); }

}  // namespace
}  // namespace t2::cpu::T2_ISA
