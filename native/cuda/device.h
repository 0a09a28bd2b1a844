// What kernels share: reductions over warps and blocks in a fixed order, reading and writing of the stored dtypes as fp32, and the step
// from a dtype to a type in launchers. Block reductions need a block of whole warps, all of whose threads take part.
#pragma once
#include <cstdint>

#include "platform.h"
#include "t2/dtype.h"

namespace t2::cuda {

// Functions of dtypes: fp32 as it is, fp16 and bf16 rounded to nearest even

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T>
__device__ T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline __half from_float<__half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

/// x as a product with a matrix of type T sees it.
template <class T>
__device__ inline float rounded(float x) {
  return to_float(from_float<T>(x));
}

template <class T>
__device__ inline float load(const T* p) {
  return to_float(*p);
}
template <class T>
__device__ inline void store(T* p, float x) {
  *p = from_float<T>(x);
}

/// Consecutive elements that are read or written by one instruction: N · sizeof(T) is 4, 8 or 16 bytes and the address a multiple of it.
template <class T, int N>
struct alignas(N * sizeof(T)) pack {
  T at[N];
};

template <int N, class T>
__device__ inline pack<T, N> load_pack(const T* p) {
  return *reinterpret_cast<const pack<T, N>*>(p);
}
template <class T, int N>
__device__ inline void store_pack(T* p, const pack<T, N>& v) {
  *reinterpret_cast<pack<T, N>*>(p) = v;
}

template <class T>
__device__ inline float4 load4(const T* p) {
  auto v = load_pack<4>(p);
  return make_float4(to_float(v.at[0]), to_float(v.at[1]), to_float(v.at[2]), to_float(v.at[3]));
}
template <class T>
__device__ inline void store4(T* p, float4 x) {
  store_pack(p, pack<T, 4>{{from_float<T>(x.x), from_float<T>(x.y), from_float<T>(x.z), from_float<T>(x.w)}});
}

// Reductions. Butterflies: every lane has the same bits, since a + b and b + a are equal

template <class T, class F>
__device__ inline T warp_reduce(T x, F f) {
  for (int step = warp_size / 2; step; step /= 2) x = f(x, __shfl_xor_sync(full_mask, x, step));
  return x;
}

struct add_op {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct max_op {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return b > a ? b : a;
  }
};

template <class T>
__device__ inline T warp_sum(T x) {
  return warp_reduce(x, add_op{});
}
template <class T>
__device__ inline T warp_max(T x) {
  return warp_reduce(x, max_op{});
}

/// `nothing` is what f leaves other values alone with. Static, so that every file has its own shared array (host emulation).
template <class T, class F>
static __device__ inline T block_reduce(T x, T nothing, F f) {
  T2_SHARED(T, parts, warp_size);
  const int lane = int(threadIdx.x) % warp_size, warp = int(threadIdx.x) / warp_size, warps = int(blockDim.x) / warp_size;
  x = warp_reduce(x, f);
  if (warps == 1) return x;
  if (lane == 0) parts[warp] = x;
  __syncthreads();
  x = warp_reduce(lane < warps ? parts[lane] : nothing, f);
  __syncthreads();  // the next reduction writes `parts` again
  return x;
}

/// Of a one-dimensional block; every thread gets the result.
template <class T>
static __device__ inline T block_sum(T x) {
  return block_reduce(x, T(0), add_op{});
}
/// `least`: no value is less.
template <class T>
static __device__ inline T block_max(T x, T least) {
  return block_reduce(x, least, max_op{});
}

// Launchers

inline bool is_aligned(const void* p, size_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

template <class T>
struct type_tag {
  using type = T;
};

/// f(type_tag<T>{}) for the type that stands for a t2::dtype in memory: with_dtype(w.dtype, [&](auto tag) { using T = decltype(tag)::type;
/// … }).
template <class F>
auto with_dtype(int32_t dtype, F&& f) {
  switch (dtype) {
    case 1:
      return f(type_tag<__half>{});
    case 2:
      return f(type_tag<__nv_bfloat16>{});
    default:
      return f(type_tag<float>{});
  }
}

}  // namespace t2::cuda
