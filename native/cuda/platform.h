// The one place that includes the CUDA runtime's headers, and the few words that kernels use instead of CUDA's own, so that the same .cu
// file compiles with nvcc for a GPU and with a plain C++ compiler against native/cuda/host (T2_CUDA_HOST), where blocks run as fibres.
//
// What kernels may use: threadIdx, blockIdx, blockDim, gridDim; __syncthreads, __syncwarp, __shfl_sync family, __ballot_sync, __any_sync,
// __all_sync; atomicAdd (int, unsigned, float, double), atomicMax, atomicMin, atomicCAS; math functions; __ldg; the conversions of
// cuda_fp16.h and cuda_bf16.h; nvcuda::wmma fragments 16 × 16 × 16 of half or bf16 with fp32 accumulators. No inline PTX, no __activemask.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <mma.h>

#ifdef T2_CUDA_HOST
/// A static shared array: T2_SHARED(float, tile, 32 * 33); at a multiple of 32 bytes, as wmma wants it.
#define T2_SHARED(type, name, count) type* const name = ::t2::cuda::host::shared_array<type, __COUNTER__>(count)
/// The dynamic shared memory of the launch.
#define T2_SHARED_DYNAMIC(type, name) type* const name = static_cast<type*>(::t2::cuda::host::dynamic_shared())
#define T2_LAUNCH_BOUNDS(threads, blocks)
#else
#define T2_SHARED(type, name, count) __shared__ __align__(32) type name[count]
#define T2_SHARED_DYNAMIC(type, name)                                      \
  extern __shared__ __align__(32) unsigned char t2_dynamic_shared_bytes[]; \
  type* const name = reinterpret_cast<type*>(t2_dynamic_shared_bytes)
#define T2_LAUNCH_BOUNDS(threads, blocks) __launch_bounds__(threads, blocks)
#endif

namespace t2::cuda {
constexpr int warp_size = 32;
constexpr unsigned full_mask = 0xffffffffu;
}  // namespace t2::cuda
