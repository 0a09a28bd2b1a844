// Host emulation: what its parts, and the host versions of cuBLASLt and cuSOLVER, share.
#pragma once
#include <atomic>
#include <functional>
#include <string>

#include "runtime_api.h"

namespace t2::cuda::host {

/// Work in a stream: is dispatched, or recorded when the stream is being captured. Device memory may be touched only inside.
cudaError_t enqueue(cudaStream_t, std::function<void()>);

/// The error of a device that is dead: what every call returns. cudaSuccess while it lives.
cudaError_t sticky();
void set_sticky(cudaError_t);
/// Writes the reason to stderr and keeps it for last_failure().
void report(const std::string& text);
/// The last reason a launch failed for.
std::string last_failure();
/// Remembers an error for cudaGetLastError of this thread.
cudaError_t noted(cudaError_t);

/// While one lives, this process may touch device memory (T2_CUDA_HOST_STRICT=1 takes it away at other times).
class device_access {
 public:
  device_access();
  device_access(const device_access&) = delete;
  ~device_access();
};

// memory.cpp
/// Where an address lies, in words: for reports.
std::string describe_address(const void*);
/// Whether the pointer is null or in (or one past) a device allocation.
bool is_device_pointer(const void*);
size_t total_memory();

// streams.cpp
bool is_stream(cudaStream_t);
cudaStreamCaptureStatus capture_status(cudaStream_t);
/// Keeps work of a stream that is being captured.
void record(cudaStream_t, std::function<void()> work);
/// Runs work of a stream that is not: now, or, where streams are late, when somebody waits for it.
cudaError_t dispatch(cudaStream_t, std::function<void()> work);
bool streams_are_late();
void finish_stream(cudaStream_t);
/// Everything that was begun: what freeing memory waits for.
void finish_device();
/// For calls that may not be made while this thread captures: cudaErrorStreamCaptureUnsupported, which also ends the capture.
cudaError_t unsafe_call();

// failure.cpp
struct fault {
  int signal;
  const void *address, *pc;
  bool misaligned;  // a vector access that the processor refused, or a check of -fsanitize=alignment
};
/// Runs `work`. A fault of this thread meanwhile (SIGSEGV, SIGBUS, SIGFPE, SIGILL) becomes a call of `on_fault` on an alternate stack,
/// which must leave by a jump. The handlers that were there before are put back.
void with_fault_handler(void (*on_fault)(const fault&), const std::function<void()>& work);
/// Runs host code that touches device memory; a fault kills the device instead of the process.
void run_host_code(const std::function<void()>& work);
/// The function that holds the address, demangled; with its parameters and the place in its file if it is a place in the middle of it.
std::string describe_code(const void* pc, bool with_place);
std::string describe_fault(const fault&);

// runtime.cpp
/// Dynamic shared memory that a kernel was allowed by cudaFuncSetAttribute; 48 KiB for others.
size_t allowed_shared(const void* kernel);
constexpr size_t shared_default = 48 * 1024, shared_most = 227 * 1024;

}  // namespace t2::cuda::host
