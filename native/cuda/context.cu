// The context's errors and scratch, and its end.
#include "context.h"

#include <string>
#include <utility>

using namespace t2::cuda;

namespace {

/// Errors after which every call of this process on the device fails: an exception on the device, a card that is gone.
bool is_sticky(cudaError_t status) {
  switch (int(status)) {
    case 214:  // cudaErrorECCUncorrectable
    case 220:  // cudaErrorNvlinkUncorrectable
    case 226:  // cudaErrorContained
    case 700:  // cudaErrorIllegalAddress
    case 702:  // cudaErrorLaunchTimeout
    case 709:  // cudaErrorContextIsDestroyed
    case 710:  // cudaErrorAssert
    case 714:  // cudaErrorHardwareStackError
    case 715:  // cudaErrorIllegalInstruction
    case 716:  // cudaErrorMisalignedAddress
    case 717:  // cudaErrorInvalidAddressSpace
    case 718:  // cudaErrorInvalidPc
    case 719:  // cudaErrorLaunchFailure
    case 721:  // cudaErrorTensorMemoryLeak
    case 806:  // cudaErrorMpsRpcFailure
    case 810:  // cudaErrorMpsClientTerminated
    case 911:  // cudaErrorExternalDevice
    case 999:  // cudaErrorUnknown
      return true;
    default:
      return false;
  }
}

/// The runtime keeps a device per thread, and a context is made in another one than the engine's.
cudaError_t set_device(int device) {
  thread_local int current = -1;
  if (current == device) return cudaSuccess;
  const auto status = cudaSetDevice(device);
  if (status == cudaSuccess) current = device;
  return status;
}

const char* file_name(const char* path) {
  const char* name = path;
  for (; *path; ++path)
    if (*path == '/') name = path + 1;
  return name;
}

}  // namespace

t2_context::~t2_context() {
  set_device(device);
  if (stream) cudaStreamSynchronize(stream);
  graphs.clear();
  staging.close();
  memory.clear();
  if (stream) cudaStreamDestroy(stream);
}

int t2_context::enter() {
  if (lost) return T2_ERROR_LOST;
  auto c = this;
  T2_CUDA(set_device(device));
  return T2_OK;
}

void* t2_context::scratch(scratch_slot slot, size_t bytes) {
  if (scratch_[slot] && scratch_bytes_[slot] >= bytes) return scratch_[slot];
  // A quarter more than asked for, so that slowly growing batches do not move it every time; less where that does not fit.
  void* p = nullptr;
  size_t size = bytes + bytes / 4;
#ifndef T2_CUDA_HOST
  p = memory.allocate(size);
#endif
  if (!p) p = memory.allocate(size = bytes);
  if (!p && scratch_[slot] && !graphs.active()) {
    // The old buffer may be what stands in the way.
    graphs.forget();
    memory.release(std::exchange(scratch_[slot], nullptr));
    scratch_bytes_[slot] = 0;
    p = memory.allocate(bytes);
  }
  if (!p) return nullptr;
  if (scratch_[slot]) {
    graphs.forget();
    memory.release(scratch_[slot]);
  }
  scratch_[slot] = p;
  scratch_bytes_[slot] = size;
  return p;
}

int t2_context::synchronize() {
  auto c = this;
  if (graphs.active()) return fail(T2_ERROR_INVALID, "a call that waits for the device inside a graph");
  T2_CUDA(cudaStreamSynchronize(stream));
  return T2_OK;
}

int t2_context::check(cudaError_t status, const char* what, const char* file, int line) {
  if (status == cudaSuccess) return T2_OK;
  cudaGetLastError();  // the runtime remembers errors that are not sticky, too: a later call must not report this one
  std::string text = std::string(cudaGetErrorString(status)) + " (" + cudaGetErrorName(status) + ") from " + what + " in " +
                     file_name(file) + ":" + std::to_string(line);
  if (is_sticky(status))
    return fail(T2_ERROR_LOST, "device " + std::to_string(device) + " is in an error state that only a new process ends: " + text);
  if (status != cudaErrorMemoryAllocation) return fail(T2_ERROR_DEVICE, text);
  size_t available = 0, total = 0;
  if (cudaMemGetInfo(&available, &total) == cudaSuccess)
    text += "; " + std::to_string((available + memory.kept()) >> 20) + " of " + std::to_string(total >> 20) + " MiB are free";
  else cudaGetLastError();
  return fail(T2_ERROR_MEMORY, text);
}

int t2_context::fail(int code, std::string message) {
  std::lock_guard lock(error_mutex_);
  if (lost) return T2_ERROR_LOST;
  error = std::move(message);
  if (code == T2_ERROR_LOST) lost = true;
  return code;
}
