// Host emulation: the device and its errors.
#include "cuda_runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "faults.h"
#include "runtime.h"

namespace t2::cuda::host {
namespace {

std::atomic<cudaError_t> dead = cudaSuccess;
thread_local cudaError_t last = cudaSuccess;
std::mutex mutex;
std::string reason;
std::unordered_map<const void*, size_t> shared_of;

/// 90 for 9.0
int capability() {
  const char* text = std::getenv("T2_CUDA_HOST_CAPABILITY");
  if (!text || !*text) return 90;
  const double c = std::strtod(text, nullptr);
  return int(c < 20 ? c * 10 + 0.5 : c);
}
cudaError_t check_device(int device) {
  look_for_faults();
  return device_missing() ? cudaErrorNoDevice : device ? cudaErrorInvalidDevice : cudaSuccess;
}

}  // namespace

cudaError_t sticky() { return dead; }
void set_sticky(cudaError_t e) {
  cudaError_t none = cudaSuccess;
  if (e) dead.compare_exchange_strong(none, e);
  else dead = cudaSuccess;
}
void report(const std::string& text) {
  std::lock_guard lock(mutex);
  reason = text;
  std::fprintf(stderr, "host emulation of CUDA: %s\n", text.c_str());
}
std::string last_failure() {
  std::lock_guard lock(mutex);
  return reason;
}
cudaError_t noted(cudaError_t e) {
  if (e && e != cudaErrorNotReady) last = e;
  return e;
}

size_t allowed_shared(const void* kernel) {
  std::lock_guard lock(mutex);
  auto it = shared_of.find(kernel);
  return it == shared_of.end() ? shared_default : it->second;
}

}  // namespace t2::cuda::host

using namespace t2::cuda::host;

namespace {
struct error_text {
  cudaError_t code;
  const char *name, *text;
};
#define T2_HOST_ERROR(code, text) \
  { code, #code, text }
constexpr error_text error_texts[] = {
    T2_HOST_ERROR(cudaSuccess, "no error"),
    T2_HOST_ERROR(cudaErrorInvalidValue, "invalid argument"),
    T2_HOST_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    T2_HOST_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    T2_HOST_ERROR(cudaErrorInvalidPitchValue, "invalid pitch argument"),
    T2_HOST_ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    T2_HOST_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    T2_HOST_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    T2_HOST_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    T2_HOST_ERROR(cudaErrorNotReady, "device not ready"),
    T2_HOST_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    T2_HOST_ERROR(cudaErrorMisalignedAddress, "misaligned address"),
    T2_HOST_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    T2_HOST_ERROR(cudaErrorNotSupported, "operation not supported"),
    T2_HOST_ERROR(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    T2_HOST_ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    T2_HOST_ERROR(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"),
    T2_HOST_ERROR(cudaErrorStreamCaptureUnmatched, "the capture was not initiated in this stream"),
    T2_HOST_ERROR(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream"),
    T2_HOST_ERROR(cudaErrorStreamCaptureWrongThread, "attempt to terminate a thread-local capture sequence from another thread"),
    T2_HOST_ERROR(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream"),
};
#undef T2_HOST_ERROR
}  // namespace

const char* cudaGetErrorName(cudaError_t e) {
  for (auto& known : error_texts)
    if (known.code == e) return known.name;
  return "unrecognized error code";
}
const char* cudaGetErrorString(cudaError_t e) {
  for (auto& known : error_texts)
    if (known.code == e) return known.text;
  return "unrecognized error code";
}
cudaError_t cudaPeekAtLastError() { return sticky() ? sticky() : last; }
cudaError_t cudaGetLastError() {
  const cudaError_t e = cudaPeekAtLastError();
  last = cudaSuccess;
  return e;
}

cudaError_t cudaGetDeviceCount(int* count) {
  const cudaError_t status = check_device(0);
  *count = status ? 0 : 1;
  return noted(status);
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  const cudaError_t status = check_device(device);
  return sticky() ? sticky() : noted(status);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (cudaError_t status = check_device(device)) return noted(status);
  *p = {};
  std::strcpy(p->name, "host emulation");
  p->totalGlobalMem = total_memory();
  p->sharedMemPerBlock = shared_default;
  p->sharedMemPerBlockOptin = shared_most;
  p->sharedMemPerMultiprocessor = shared_most + 1024;
  p->reservedSharedMemPerBlock = 1024;
  p->major = capability() / 10;
  p->minor = capability() % 10;
  p->multiProcessorCount = 4;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsPerMultiProcessor = 2048;
  p->maxBlocksPerMultiProcessor = 32;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 0x7fffffff;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536;
  p->l2CacheSize = 1 << 20;
  p->memoryBusWidth = 128;
  p->unifiedAddressing = p->canMapHostMemory = p->concurrentKernels = p->asyncEngineCount = 1;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p;
  if (cudaError_t status = cudaGetDeviceProperties(&p, device)) return status;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = p.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = int(p.sharedMemPerBlock);
      break;
    case cudaDevAttrWarpSize:
      *value = p.warpSize;
      break;
    case cudaDevAttrClockRate:
    case cudaDevAttrMemoryClockRate:
      *value = 1000000;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      break;
    case cudaDevAttrGlobalMemoryBusWidth:
      *value = p.memoryBusWidth;
      break;
    case cudaDevAttrL2CacheSize:
      *value = p.l2CacheSize;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = p.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = int(p.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = int(p.sharedMemPerBlockOptin);
      break;
    default:
      return noted(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* to, int length, int device) {
  if (cudaError_t status = check_device(device)) return noted(status);
  std::snprintf(to, size_t(length), "0000:00:00.0");
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  look_for_faults();
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  if (cudaError_t unsafe = unsafe_call()) return noted(unsafe);
  finish_device();
  return sticky();
}
cudaError_t cudaDeviceReset() {
  set_sticky(cudaSuccess);
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (cudaError_t e = sticky()) return e;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || size_t(value) > shared_most) return noted(cudaErrorInvalidValue);
  std::lock_guard lock(mutex);
  shared_of[kernel] = std::max(shared_default, size_t(value));
  return cudaSuccess;
}
