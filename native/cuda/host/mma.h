// Host emulation: nvcuda::wmma for 16 × 16 × 16 fragments of half or bf16 with fp32 accumulators. Every call is one of the whole warp.
// Which lane holds which element is neither NVIDIA's layout nor the natural one: kernels must not know it.
#pragma once
#include <cstring>

#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "fibre.h"

namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };

template <class Use, int M, int N, int K, class T, class Layout = void>
struct fragment;

/// Operands: their elements as fp32, [16, 8] pieces dealt to lanes.
template <class Use, class T, class Layout>
struct fragment<Use, 16, 16, 16, T, Layout> {
  static_assert(std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>);
  static_assert(std::is_same_v<Layout, row_major> || std::is_same_v<Layout, col_major>);
  float opaque[8];
};
template <>
struct fragment<accumulator, 16, 16, 16, float, void> {
  static constexpr int num_elements = 8;
  float x[8];
};

namespace host {

/// The eight elements of a lane are (row, column … column + 7).
inline int row_of(int lane) { return (lane * 11 + 5) & 15; }
inline int column_of(int lane) { return lane < 16 ? 8 : 0; }

inline void gather(void* const* of_lane, size_t offset, float (*tile)[16]) {
  for (int lane = 0; lane < 32; lane++)
    std::memcpy(&tile[row_of(lane)][column_of(lane)], *reinterpret_cast<const float* const*>(static_cast<char*>(of_lane[lane]) + offset),
                32);
}

inline void check(const void* p, unsigned ld, unsigned multiple) {
  if (reinterpret_cast<uintptr_t>(p) % 32)
    t2::cuda::host::fail(cudaErrorMisalignedAddress, "the pointer of a wmma load or store is not a multiple of 32 bytes");
  if (ld % multiple)
    t2::cuda::host::fail(cudaErrorLaunchFailure, "the leading dimension of a wmma load or store is not a multiple of 16 bytes");
}

template <class T>
struct transfer {
  float* fragment;
  T* memory;
  unsigned ld;
  bool rows;  // row-major
};

/// All lanes must mean the same matrix.
template <class T>
transfer<T>& common(void* const* of_lane) {
  auto& first = *static_cast<transfer<T>*>(of_lane[0]);
  for (int lane = 1; lane < 32; lane++) {
    auto& other = *static_cast<transfer<T>*>(of_lane[lane]);
    if (other.memory != first.memory || other.ld != first.ld || other.rows != first.rows)
      t2::cuda::host::fail(cudaErrorLaunchFailure, "the lanes of a warp gave a wmma load or store different arguments");
  }
  check(first.memory, first.ld, 16 / sizeof(T));
  return first;
}

template <class T>
void load(float* fragment, const T* memory, unsigned ld, bool rows) {
  transfer<const T> mine{fragment, memory, ld, rows};
  t2::cuda::host::collective("load_matrix_sync", 0xffffffffu, &mine, [](void* const* of_lane, unsigned) {
    auto& all = common<const T>(of_lane);
    for (int lane = 0; lane < 32; lane++) {
      float* to = static_cast<transfer<const T>*>(of_lane[lane])->fragment;
      for (int i = 0; i < 8; i++) {
        const size_t r = size_t(row_of(lane)), c = size_t(column_of(lane) + i);
        to[i] = float(all.memory[all.rows ? r * all.ld + c : c * all.ld + r]);
      }
    }
  });
}

struct product {
  float* d;
  const float *a, *b, *c;
};

}  // namespace host

template <class F>
void fill_fragment(fragment<accumulator, 16, 16, 16, F>& f, F value) {
  for (float& x : f.x) x = value;
}

template <class Use, class T, class Layout>
void load_matrix_sync(fragment<Use, 16, 16, 16, T, Layout>& f, const T* p, unsigned ld) {
  host::load(f.opaque, p, ld, std::is_same_v<Layout, row_major>);
}
inline void load_matrix_sync(fragment<accumulator, 16, 16, 16, float>& f, const float* p, unsigned ld, layout_t layout) {
  host::load(f.x, p, ld, layout == mem_row_major);
}

inline void store_matrix_sync(float* p, const fragment<accumulator, 16, 16, 16, float>& f, unsigned ld, layout_t layout) {
  host::transfer<float> mine{const_cast<float*>(f.x), p, ld, layout == mem_row_major};
  t2::cuda::host::collective("store_matrix_sync", 0xffffffffu, &mine, [](void* const* of_lane, unsigned) {
    auto& all = host::common<float>(of_lane);
    for (int lane = 0; lane < 32; lane++) {
      const float* from = static_cast<host::transfer<float>*>(of_lane[lane])->fragment;
      for (int i = 0; i < 8; i++) {
        const size_t r = size_t(host::row_of(lane)), c = size_t(host::column_of(lane) + i);
        all.memory[all.rows ? r * all.ld + c : c * all.ld + r] = from[i];
      }
    }
  });
}

template <class T, class LayoutA, class LayoutB>
void mma_sync(fragment<accumulator, 16, 16, 16, float>& d, const fragment<matrix_a, 16, 16, 16, T, LayoutA>& a,
              const fragment<matrix_b, 16, 16, 16, T, LayoutB>& b, const fragment<accumulator, 16, 16, 16, float>& c) {
  host::product mine{d.x, a.opaque, b.opaque, c.x};
  t2::cuda::host::collective("mma_sync", 0xffffffffu, &mine, [](void* const* of_lane, unsigned) {
    alignas(64) float left[16][16], right[16][16], sum[16][16];
    host::gather(of_lane, offsetof(host::product, a), left);
    host::gather(of_lane, offsetof(host::product, b), right);
    host::gather(of_lane, offsetof(host::product, c), sum);
    for (int i = 0; i < 16; i++)
      for (int k = 0; k < 16; k++)
        for (int j = 0; j < 16; j++) sum[i][j] += left[i][k] * right[k][j];
    for (int lane = 0; lane < 32; lane++)
      std::memcpy(static_cast<host::product*>(of_lane[lane])->d, &sum[host::row_of(lane)][host::column_of(lane)], 32);
  });
}

}  // namespace nvcuda::wmma
