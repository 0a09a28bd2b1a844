// Host emulation: what a launch is checked for before it runs or is recorded.
#include <memory>

#include "fibre.h"
#include "runtime.h"

namespace t2::cuda::host {

cudaError_t launch(const request& r) {
  if (cudaError_t dead = sticky()) return dead;
  if (!is_stream(r.stream)) return noted(cudaErrorInvalidResourceHandle);
  const dim3 g = r.grid, b = r.block;
  if (!g.x || !g.y || !g.z || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535) return noted(cudaErrorInvalidConfiguration);
  if (!b.x || !b.y || !b.z || b.x > 1024 || b.y > 1024 || b.z > 64 || uint64_t(b.x) * b.y * b.z > 1024)
    return noted(cudaErrorInvalidConfiguration);
  if (r.shared > allowed_shared(r.kernel)) return noted(cudaErrorInvalidValue);
  for (int i = 0; i < r.pointer_count; i++)
    if (!is_device_pointer(r.pointers[i])) {
      report("kernel " + describe_code(r.kernel, false) + ": argument pointer " + std::to_string(i) +
             " of its pointers is not device memory");
      set_sticky(cudaErrorIllegalAddress);
      return noted(cudaErrorIllegalAddress);
    }
  const auto capture = capture_status(r.stream);
  if (capture == cudaStreamCaptureStatusInvalidated) return noted(cudaErrorStreamCaptureInvalidated);
  if (capture == cudaStreamCaptureStatusActive) {
    request copy = r;
    copy.pointers = nullptr;
    std::shared_ptr<const void> call = r.keep(r.call);
    copy.call = call.get();
    record(r.stream, [copy, call] { run_launch(copy); });
    return cudaSuccess;
  }
  if (!streams_are_late() || !r.stream) {  // at once, and what is wrong with it is the caller's to hear
    cudaError_t status = cudaSuccess;
    dispatch(r.stream, [&] { status = run_launch(r); });
    return noted(status);
  }
  request copy = r;
  copy.pointers = nullptr;
  std::shared_ptr<const void> call = r.keep(r.call);
  copy.call = call.get();
  return noted(dispatch(r.stream, [copy, call] { run_launch(copy); }));
}

}  // namespace t2::cuda::host
