// Self-test of the host emulation: planted faults are caught, by an error that names the kernel and the reason or by a wrong result.
#include <cmath>
#include <csignal>

#include "selftest.h"

namespace selftest {
namespace {

using namespace t2::cuda;
using namespace nvcuda;

// kernels

__global__ void no_barrier(float* y) {
  T2_SHARED(float, x, 128);
  x[threadIdx.x] = float(threadIdx.x);
  y[threadIdx.x] = x[127 - threadIdx.x];
}
__global__ void no_barrier_in_warp(float* y) {
  T2_SHARED(float, x, 32);
  x[threadIdx.x] = float(threadIdx.x);
  y[threadIdx.x] = x[threadIdx.x ^ 1];
}
/// The barrier at the loop's end is missing: a fast warp writes over what a slow one still reads.
__global__ void no_second_barrier(float* y) {
  T2_SHARED(float, x, 1);
  float sum = 0;
  for (int i = 0; i < 4; i++) {
    if (threadIdx.x == 0) x[0] = float(i);
    __syncthreads();
    sum += x[0];
  }
  y[threadIdx.x] = sum;
}
__global__ void writes_at(float* y, int i) { y[i + int(threadIdx.x)] = 1; }
__global__ void reads_at(const float* x, float* y, int i) { y[0] = x[i]; }
__global__ void writes_shared_at(float* y, int i) {
  T2_SHARED(float, x, 33);
  x[i] = 1;
  y[0] = x[0];
}
__global__ void writes_dynamic_at(float* y, int i) {
  T2_SHARED_DYNAMIC(float, x);
  x[i] = 1;
  y[0] = x[0];
}
__global__ void reads_fresh_shared(float* y) {
  T2_SHARED(float, x, 32);
  T2_SHARED_DYNAMIC(float, z);
  if (threadIdx.x < 31) x[threadIdx.x] = z[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = x[threadIdx.x] + z[threadIdx.x];
}
__global__ void mask_without_caller(float* y) { y[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, float(threadIdx.x), 1); }
__global__ void lane_stays_away(float* y) {
  if (threadIdx.x == 7) return;
  y[threadIdx.x] = __shfl_xor_sync(full_mask, float(threadIdx.x), 1);
}
__global__ void two_masks(float* y) { y[threadIdx.x] = __shfl_xor_sync(threadIdx.x < 16 ? full_mask : 0xffff0000u, float(threadIdx.x), 1); }
__global__ void two_functions(float* y) {
  y[threadIdx.x] = threadIdx.x < 16 ? __shfl_xor_sync(full_mask, 1.0f, 1) : __shfl_down_sync(full_mask, 1.0f, 1);
}
__global__ void half_at_barrier(float* y) {
  if (threadIdx.x < 32) __syncthreads();
  y[threadIdx.x] = 1;
}
__global__ void one_at_another_barrier(float* y) {
  __syncthreads();
  if (threadIdx.x != 40) __syncthreads();
  y[threadIdx.x] = 1;
}
__global__ void lane_missing_in_mma(const __half* a, float* y) {
  wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> fa;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::row_major> fb;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
  wmma::fill_fragment(sum, 0.0f);
  wmma::load_matrix_sync(fa, a, 16);
  wmma::load_matrix_sync(fb, a, 16);
  if (threadIdx.x != 13) wmma::mma_sync(sum, fa, fb, sum);
  wmma::store_matrix_sync(y, sum, 16, wmma::mem_row_major);
}
__global__ void mma_of_other_pointers(const __half* a, float* y) {
  wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> fa;
  wmma::load_matrix_sync(fa, a + (threadIdx.x < 16 ? 0 : 16), 16);
  y[threadIdx.x] = 0;
}
__global__ void misaligned(const float* x, float4* y) { y[threadIdx.x] = *reinterpret_cast<const float4*>(x + 1 + 4 * threadIdx.x); }
__global__ void misaligned_pair(const float* x, float* y) { y[0] = reinterpret_cast<const float2*>(x + 1)->y; }
__global__ void divides(int* y, int by) { y[threadIdx.x] = 7 / (by - int(threadIdx.x)); }
__device__ __attribute__((noinline)) int deep(volatile int* y, int n) {
  volatile char frame[512];
  frame[n % 512] = char(n);
  return n ? deep(y, n - 1) + frame[n % 512] : y[0];
}
__global__ void recurses(int* y) { y[1] = deep(y, 1000); }
__global__ void too_much_static(float* y) {
  T2_SHARED(float, x, 8 * 1024);
  T2_SHARED(float, z, 8 * 1024);
  x[threadIdx.x] = z[threadIdx.x] = 1;
  y[threadIdx.x] = x[threadIdx.x];
}
__global__ void fine(float* y) { y[threadIdx.x] = 1; }

// checks

/// How many of the seeds show a result other than the right one.
template <class F>
int seeds_that_show(F wrong_result) {
  int shown = 0;
  for (int s = 1; s <= seeds; s++) {
    seed(s);
    shown += wrong_result();
  }
  return shown;
}

void barriers_left_out() {
  array<float> y(128);
  EXPECT(seeds_that_show([&] {
           EXPECT_STATUS(go(no_barrier, 1, 128, 0, y.p), cudaSuccess);
           auto v = y.values();
           for (size_t t = 0; t < 128; t++)
             if (v[t] != float(127 - t)) return 1;
           return 0;
         }) == seeds);
  array<float> w(32);
  EXPECT(seeds_that_show([&] {
           EXPECT_STATUS(go(no_barrier_in_warp, 1, 32, 0, w.p), cudaSuccess);
           auto v = w.values();
           for (size_t t = 0; t < 32; t++)
             if (v[t] != float(t ^ 1)) return 1;
           return 0;
         }) == seeds);
  EXPECT(seeds_that_show([&] {
           EXPECT_STATUS(go(no_second_barrier, 1, 128, 0, y.p), cudaSuccess);
           for (float v : y.values())
             if (v != 6) return 1;
           return 0;
         }) > seeds / 2);
}

/// The launch fails with this error, whose text has all of these; every later call fails too, until the device is revived.
template <class... P, class... A>
void expect_fault(cudaError_t error, std::initializer_list<const char*> texts, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared,
                  A... arguments) {
  EXPECT_STATUS(go(kernel, grid, block, shared, arguments...), error);
  for (const char* text : texts)
    if (!reason_has(text)) {
      std::printf("  # no \"%s\" in: %s\n", text, host::last_failure().c_str());
      wrong_in_check++;
    }
  void* p = nullptr;
  EXPECT_STATUS(cudaMalloc(&p, 16), error);
  EXPECT_STATUS(cudaDeviceSynchronize(), error);
  EXPECT_STATUS(cudaGetLastError(), error);
  EXPECT_STATUS(cudaGetLastError(), error);
  t2_cuda_host_fault("reset");
}

void global_memory() {
  array<float> y(96);
  EXPECT_STATUS(go(writes_at, 1, 32, 0, y.p, 64), cudaSuccess);
  expect_fault(cudaErrorIllegalAddress,
               {"selftest::(anonymous namespace)::writes_at", "thread (31, 0, 0)",
                "0 bytes past the end of a device allocation of 384 bytes", "addr2line"},
               writes_at, 1, 32, 0, y.p, 65);
  // Beside the beginning the page is the same: who reads gets NaN, who writes is found when the memory is freed.
  EXPECT_STATUS(go(reads_at, 1, 1, 0, y.p, y.p, -1), cudaSuccess);
  EXPECT(std::isnan(y.values()[0]));
  expect_fault(cudaErrorIllegalAddress, {"reads_at", "bytes before a device allocation"}, reads_at, 1, 1, 0, y.p, y.p, -1024);
  for (auto [bytes, at] : {std::pair{64, -1}, std::pair{60, 15}}) {
    float* p;
    EXPECT_STATUS(cudaMalloc(&p, size_t(bytes)), cudaSuccess);
    EXPECT_STATUS(go(writes_at, 1, 1, 0, p, at), cudaSuccess);
    EXPECT_STATUS(cudaFree(p), cudaErrorIllegalAddress);
    EXPECT(reason_has(at < 0 ? "wrote before an allocation of 64 bytes" : "wrote past the end of an allocation of 60 bytes"));
    t2_cuda_host_fault("reset");
  }
  array<float> odd(99);
  expect_fault(cudaErrorIllegalAddress, {"reads_at", "4 bytes past the end"}, reads_at, 1, 1, 0, odd.p, y.p, 100);
  expect_fault(cudaErrorIllegalAddress, {"no device memory"}, reads_at, 1, 1, 0, nullptr, y.p, 4);
  float on_the_host[4] = {};
  expect_fault(cudaErrorIllegalAddress, {"reads_at", "is not device memory"}, reads_at, 1, 1, 0, on_the_host, y.p, 0);
  float* gone;
  EXPECT_STATUS(cudaMalloc(&gone, 512), cudaSuccess);
  EXPECT_STATUS(cudaFree(gone), cudaSuccess);
  expect_fault(cudaErrorIllegalAddress, {"is not device memory"}, reads_at, 1, 1, 0, gone, y.p, 0);
  EXPECT_STATUS(go(fine, 1, 32, 0, y.p), cudaSuccess);
}

void shared_memory() {
  array<float> y(32);
  EXPECT_STATUS(go(writes_shared_at, 1, 1, 0, y.p, 32), cudaSuccess);
  expect_fault(cudaErrorIllegalAddress,
               {"writes_shared_at", "wrote 0 bytes past the end of the shared array of 132 bytes", "selftest_faults.cpp"}, writes_shared_at,
               3, 1, 0, y.p, 33);
  expect_fault(cudaErrorIllegalAddress, {"wrote"}, writes_shared_at, 1, 1, 0, y.p, -1);
  expect_fault(cudaErrorIllegalAddress, {"beside all shared memory"}, writes_shared_at, 1, 1, 0, y.p, 1 << 20);
  EXPECT_STATUS(go(writes_dynamic_at, 1, 1, 400, y.p, 99), cudaSuccess);
  expect_fault(cudaErrorIllegalAddress, {"writes_dynamic_at", "wrote 0 bytes past the end of its dynamic shared memory of 400 bytes"},
               writes_dynamic_at, 1, 1, 400, y.p, 100);
  expect_fault(cudaErrorIllegalAddress, {"wrote before"}, writes_dynamic_at, 1, 1, 400, y.p, -1);
  // What one block writes, the next does not find.
  EXPECT_STATUS(go(reads_fresh_shared, 3, 32, 128, y.p), cudaSuccess);
  auto v = y.values();
  EXPECT(v[30] == 2 && std::isnan(v[31]));
}

void warps() {
  array<float> y(64);
  for (int s = 1; s <= seeds; s++) {
    seed(s);
    expect_fault(cudaErrorLaunchFailure, {"mask_without_caller"}, mask_without_caller, 1, 32, 0, y.p);
    expect_fault(cudaErrorLaunchFailure, {"lane_stays_away", "names lane 7, but thread (7, 0, 0) has ended"}, lane_stays_away, 1, 64, 0,
                 y.p);
    expect_fault(cudaErrorLaunchFailure, {"two_masks"}, two_masks, 1, 32, 0, y.p);
    expect_fault(cudaErrorLaunchFailure, {"two_functions", "different functions or masks"}, two_functions, 1, 32, 0, y.p);
  }
  expect_fault(cudaErrorLaunchFailure, {"the block has no such thread"}, lane_stays_away, 1, 7, 0, y.p);
}

void barriers() {
  array<float> y(64);
  for (int s = 1; s <= seeds; s++) {
    seed(s);
    EXPECT_STATUS(go(half_at_barrier, 1, 32, 0, y.p), cudaSuccess);
    expect_fault(cudaErrorLaunchFailure, {"half_at_barrier", "32 of 64 threads wait at __syncthreads"}, half_at_barrier, 1, 64, 0, y.p);
    expect_fault(cudaErrorLaunchFailure, {"63 of 64 threads wait", "thread (40, 0, 0) has ended"}, one_at_another_barrier, 1, 64, 0, y.p);
  }
}

void fragments() {
  array<__half> a(256);
  array<float> y(256);
  for (int s = 1; s <= seeds; s++) {
    seed(s);
    expect_fault(cudaErrorLaunchFailure, {"lane_missing_in_mma"}, lane_missing_in_mma, 1, 32, 0, a.p, y.p);
  }
  expect_fault(cudaErrorLaunchFailure, {"different arguments"}, mma_of_other_pointers, 1, 32, 0, a.p, y.p);
  expect_fault(cudaErrorMisalignedAddress, {"32 bytes"}, lane_missing_in_mma, 1, 32, 0, a.p + 8, y.p);
}

void processor_faults() {
  struct sigaction mine {
  }, after{};
  mine.sa_handler = SIG_IGN;
  struct sigaction before {};
  sigaction(SIGSEGV, &mine, &before);
  array<float> x(200);
  array<float4> y(8);
  expect_fault(cudaErrorMisalignedAddress, {"misaligned", "misaligned access"}, misaligned, 1, 8, 0, x.p, y.p);
  // The processor does not mind this one; -fsanitize=alignment does.
  expect_fault(cudaErrorMisalignedAddress, {"misaligned_pair"}, misaligned_pair, 1, 1, 0, x.p, x.p);
  array<int> z(32);
  expect_fault(cudaErrorIllegalAddress, {"divides", "thread (5, 0, 0)", "integer division by zero"}, divides, 1, 32, 0, z.p, 5);
  expect_fault(cudaErrorIllegalAddress, {"used up its stack"}, recurses, 1, 1, 0, z.p);
  EXPECT_STATUS(host::enqueue(nullptr, [&] { z.p[32] = 1; }), cudaErrorIllegalAddress);
  EXPECT(reason_has("0 bytes past the end of a device allocation of 128 bytes"));
  sigaction(SIGSEGV, &before, &after);
  EXPECT(after.sa_handler == SIG_IGN);
}

void limits() {
  array<float> y(1024);
  EXPECT_STATUS(go(fine, 1, 1024, 0, y.p), cudaSuccess);
  EXPECT_STATUS(go(fine, 1, 1025, 0, y.p), cudaErrorInvalidConfiguration);
  EXPECT_STATUS(go(fine, 1, dim3(32, 33), 0, y.p), cudaErrorInvalidConfiguration);
  EXPECT_STATUS(go(fine, 1, dim3(1, 1, 65), 0, y.p), cudaErrorInvalidConfiguration);
  EXPECT_STATUS(go(fine, 0, 1, 0, y.p), cudaErrorInvalidConfiguration);
  EXPECT_STATUS(go(fine, dim3(1, 65536), 1, 0, y.p), cudaErrorInvalidConfiguration);
  EXPECT_STATUS(go(fine, dim3(1, 1, 65536), 1, 0, y.p), cudaErrorInvalidConfiguration);
  EXPECT_STATUS(go(fine, 1, 1, 48 * 1024, y.p), cudaSuccess);
  EXPECT_STATUS(go(fine, 1, 1, 48 * 1024 + 1, y.p), cudaErrorInvalidValue);
  EXPECT_STATUS(cudaFuncSetAttribute(fine, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024 + 1), cudaErrorInvalidValue);
  EXPECT_STATUS(cudaFuncSetAttribute(fine, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024), cudaSuccess);
  EXPECT_STATUS(go(fine, 1, 1, 227 * 1024, y.p), cudaSuccess);
  EXPECT_STATUS(go(too_much_static, 1, 32, 0, y.p), cudaErrorInvalidValue);
  EXPECT_STATUS(go(fine, 1, 1, 0, y.p), cudaSuccess);
}

}  // namespace

void planted_faults() {
  check("fault: barriers left out", barriers_left_out);
  check("fault: global memory beside an allocation, of the host, freed", global_memory);
  check("fault: shared memory beside an array, not written", shared_memory);
  check("fault: lanes and masks of shuffles", warps);
  check("fault: barriers that not all threads reach", barriers);
  check("fault: lanes and arguments of wmma", fragments);
  check("fault: misaligned, division by zero, stack", processor_faults);
  check("fault: limits of a launch", limits);
}

}  // namespace selftest
