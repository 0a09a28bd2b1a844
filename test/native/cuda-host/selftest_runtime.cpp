// Self-test of the host emulation: the runtime's calls, captures, and the faults that tests ask for.
#include <cmath>
#include <cstring>
#include <thread>

#include "selftest.h"

namespace selftest {
namespace {

using namespace t2::cuda;

__global__ void add_to(const float* x, float* y, const int* table) { y[threadIdx.x] += x[table[threadIdx.x]]; }
__global__ void set_to(float* y, float value) { y[threadIdx.x] = value; }
__global__ void count_up(float* y) {
  T2_SHARED(float, x, 64);
  x[threadIdx.x] = y[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = x[63 - threadIdx.x] + 1;
}

void graphs() {
  // A table on its way to the device, a memset, two kernels and host code; the table changes between replays.
  cudaStream_t s;
  EXPECT_STATUS(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), cudaSuccess);
  array<float> x(ramp(64)), y(32);
  array<int> table(32);
  int* pinned;
  EXPECT_STATUS(cudaMallocHost(&pinned, 128), cudaSuccess);
  for (int i = 0; i < 32; i++) pinned[i] = i;
  int seen = 0;
  EXPECT_STATUS(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_STATUS(cudaMemcpyAsync(table.p, pinned, 128, cudaMemcpyHostToDevice, s), cudaSuccess);
  EXPECT_STATUS(cudaMemsetAsync(y.p, 0, 128, s), cudaSuccess);
  EXPECT_STATUS(host::launch(add_to, 1, 32, 0, s, x.p, y.p, table.p), cudaSuccess);
  EXPECT_STATUS(host::launch(add_to, 1, 32, 0, s, x.p, y.p, table.p), cudaSuccess);
  EXPECT_STATUS(host::enqueue(s, [&seen, p = table.p] { seen = p[3]; }), cudaSuccess);
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  EXPECT_STATUS(cudaStreamEndCapture(s, &graph), cudaSuccess);
  EXPECT(std::isnan(y.values()[0]) && !seen);
  EXPECT_STATUS(cudaGraphInstantiate(&exec, graph), cudaSuccess);
  EXPECT_STATUS(cudaGraphDestroy(graph), cudaSuccess);
  auto host_x = x.values();
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 32; i++) pinned[i] = i + round * 7;
    EXPECT_STATUS(cudaGraphLaunch(exec, s), cudaSuccess);
    EXPECT_STATUS(cudaStreamSynchronize(s), cudaSuccess);
    auto v = y.values();
    for (int i = 0; i < 32; i++) EXPECT(v[size_t(i)] == 2 * host_x[size_t(i + round * 7)]);
    EXPECT(seen == 3 + round * 7);
  }
  EXPECT_STATUS(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_STATUS(cudaFreeHost(pinned), cudaSuccess);
  EXPECT_STATUS(cudaStreamDestroy(s), cudaSuccess);
  EXPECT_STATUS(cudaStreamDestroy(s), cudaErrorInvalidResourceHandle);
}

void capture_rules() {
  cudaStream_t s;
  cudaGraph_t graph;
  cudaEvent_t e;
  array<float> y(64);
  EXPECT_STATUS(cudaStreamCreate(&s), cudaSuccess);
  EXPECT_STATUS(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), cudaSuccess);
  EXPECT_STATUS(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_STATUS(cudaStreamSynchronize(s), cudaErrorStreamCaptureUnsupported);
  EXPECT_STATUS(host::launch(set_to, 1, 32, 0, s, y.p, 1.0f), cudaErrorStreamCaptureInvalidated);
  EXPECT_STATUS(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_STATUS(cudaStreamEndCapture(s, &graph), cudaErrorIllegalState);
  void* p;
  EXPECT_STATUS(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_STATUS(cudaMalloc(&p, 64), cudaErrorStreamCaptureUnsupported);
  EXPECT_STATUS(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_STATUS(cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed), cudaSuccess);
  EXPECT_STATUS(cudaMalloc(&p, 64), cudaSuccess);
  EXPECT_STATUS(cudaEventRecord(e, s), cudaSuccess);
  EXPECT_STATUS(cudaEventQuery(e), cudaErrorCapturedEvent);
  EXPECT_STATUS(cudaStreamEndCapture(s, &graph), cudaSuccess);
  EXPECT_STATUS(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_STATUS(cudaFree(p), cudaSuccess);
  EXPECT_STATUS(cudaEventDestroy(e), cudaSuccess);
  EXPECT_STATUS(cudaStreamDestroy(s), cudaSuccess);
}

void memory() {
  char *a, *b;
  EXPECT_STATUS(cudaMalloc(&a, 1000), cudaSuccess);
  EXPECT_STATUS(cudaMalloc(&b, 1024), cudaSuccess);
  EXPECT(uintptr_t(a) % 16 == 0 && uintptr_t(b) % 256 == 0);
  char host[1024];
  EXPECT_STATUS(cudaMemcpy(host, a, 1000, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT(host[0] == char(0xff) && host[999] == char(0xff));
  EXPECT_STATUS(cudaMemset(b, 7, 1024), cudaSuccess);
  EXPECT_STATUS(cudaMemcpy(a, b, 1000, cudaMemcpyDeviceToDevice), cudaSuccess);
  EXPECT_STATUS(cudaMemcpy(host, a, 1000, cudaMemcpyDefault), cudaSuccess);
  EXPECT(host[999] == 7);
  EXPECT_STATUS(cudaMemcpy(a, host, 1000, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_STATUS(cudaMemcpy(b, a, 1000, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_STATUS(cudaMemcpy(host, a, 1009, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_STATUS(cudaMemset(b, 0, 1025), cudaErrorInvalidValue);
  EXPECT_STATUS(cudaMemset(host, 0, 16), cudaErrorInvalidValue);
  EXPECT_STATUS(cudaMemcpy2DAsync(a, 100, b, 128, 64, 8, cudaMemcpyDeviceToDevice), cudaSuccess);
  EXPECT_STATUS(cudaMemcpy2DAsync(a, 100, b, 128, 64, 9, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_STATUS(cudaFree(a + 16), cudaErrorInvalidValue);
  EXPECT_STATUS(cudaFree(host), cudaErrorInvalidValue);
  EXPECT_STATUS(cudaFree(a), cudaSuccess);
  EXPECT_STATUS(cudaFree(a), cudaErrorInvalidValue);
  EXPECT_STATUS(cudaFree(b), cudaSuccess);
  EXPECT_STATUS(cudaFree(nullptr), cudaSuccess);
  setenv("T2_CUDA_HOST_MEMORY", "100000", 1);
  size_t free, total;
  EXPECT_STATUS(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT(free == 100000 && total == 100000);
  EXPECT_STATUS(cudaMalloc(&a, 90000), cudaSuccess);
  EXPECT_STATUS(cudaMalloc(&b, 20000), cudaErrorMemoryAllocation);
  EXPECT_STATUS(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_STATUS(cudaGetLastError(), cudaSuccess);
  EXPECT_STATUS(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT(free == 10000);
  EXPECT_STATUS(cudaFree(a), cudaSuccess);
  unsetenv("T2_CUDA_HOST_MEMORY");
}

void device() {
  int count = 0, device = -1;
  EXPECT_STATUS(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_STATUS(cudaGetDevice(&device), cudaSuccess);
  EXPECT(count == 1 && device == 0);
  EXPECT_STATUS(cudaSetDevice(1), cudaErrorInvalidDevice);
  cudaDeviceProp p;
  EXPECT_STATUS(cudaGetDeviceProperties(&p, 0), cudaSuccess);
  EXPECT(!std::strcmp(p.name, "host emulation") && p.major == 9 && p.minor == 0 && p.multiProcessorCount == 4);
  setenv("T2_CUDA_HOST_CAPABILITY", "7.5", 1);
  EXPECT_STATUS(cudaGetDeviceProperties(&p, 0), cudaSuccess);
  EXPECT(p.major == 7 && p.minor == 5);
  unsetenv("T2_CUDA_HOST_CAPABILITY");
  cudaEvent_t a, b;
  EXPECT_STATUS(cudaEventCreate(&a), cudaSuccess);
  EXPECT_STATUS(cudaEventCreate(&b), cudaSuccess);
  EXPECT_STATUS(cudaEventRecord(a), cudaSuccess);
  EXPECT_STATUS(cudaEventRecord(b), cudaSuccess);
  float time = -1;
  EXPECT_STATUS(cudaEventElapsedTime(&time, a, b), cudaSuccess);
  EXPECT(time >= 0);
  EXPECT_STATUS(cudaEventDestroy(a), cudaSuccess);
  EXPECT_STATUS(cudaEventDestroy(b), cudaSuccess);
}

void asked_for() {
  array<float> y(32);
  void *a = nullptr, *b = nullptr;
  EXPECT(t2_cuda_host_fault("memory:2,launch:3") == 0);
  EXPECT_STATUS(cudaMalloc(&a, 16), cudaSuccess);
  EXPECT_STATUS(cudaMalloc(&b, 16), cudaErrorMemoryAllocation);
  EXPECT_STATUS(cudaMalloc(&b, 16), cudaSuccess);
  EXPECT_STATUS(go(set_to, 1, 32, 0, y.p, 1.0f), cudaSuccess);
  EXPECT_STATUS(go(set_to, 1, 32, 0, y.p, 2.0f), cudaSuccess);
  EXPECT_STATUS(go(set_to, 1, 32, 0, y.p, 3.0f), cudaErrorIllegalAddress);
  EXPECT_STATUS(go(set_to, 1, 32, 0, y.p, 4.0f), cudaErrorIllegalAddress);
  EXPECT_STATUS(cudaFree(a), cudaErrorIllegalAddress);
  EXPECT(t2_cuda_host_fault("reset") == 0);
  EXPECT(y.values()[0] == 2.0f);
  EXPECT_STATUS(cudaFree(b), cudaSuccess);
  EXPECT(t2_cuda_host_fault("nonsense") == 1 && t2_cuda_host_fault("memory:x") == 1);
  int count = 1;
  setenv("T2_CUDA_HOST_FAULT", "device:none", 1);
  EXPECT_STATUS(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT(!count && !host::library_missing("cublaslt"));
  setenv("T2_CUDA_HOST_FAULT", "library:cublaslt", 1);
  EXPECT_STATUS(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT(host::library_missing("cublaslt") && !host::library_missing("cusolver"));
  unsetenv("T2_CUDA_HOST_FAULT");
  EXPECT(!host::library_missing("cublaslt"));
}

void host_threads() {
  std::vector<std::thread> threads;
  std::atomic<int> bad = 0;
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; i++) {
        float* p;
        if (cudaMalloc(&p, 256) || cudaMemset(p, 0, 256)) bad++;
        for (int k = 0; k < 10; k++)
          if (host::launch(count_up, 1, 64, 0, nullptr, p)) bad++;
        float v[64];
        if (cudaMemcpy(v, p, 256, cudaMemcpyDeviceToHost) || cudaFree(p)) bad++;
        for (float x : v) bad += x != 10;
      }
    });
  for (auto& t : threads) t.join();
  EXPECT(bad == 0);
}

}  // namespace

void runtime_calls() {
  check("runtime: captured graph, replayed with other staged data", graphs);
  check("runtime: what a capture forbids", capture_rules);
  check("runtime: memory and copies", memory);
  check("runtime: device and events", device);
  check("runtime: faults that are asked for", asked_for);
  check("runtime: several threads of the host", host_threads);
}

}  // namespace selftest
