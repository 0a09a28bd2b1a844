// Host emulation: faults that tests ask for, by T2_CUDA_HOST_FAULT (looked at when a device is asked for, whenever it has changed) or by
// t2_cuda_host_fault. Several are separated by commas:
//   memory:N           the N-th allocation of device memory from now fails
//   launch:N           the N-th kernel from now fails, and with it the device: every later call returns cudaErrorIllegalAddress
//   device:none        there is no device
//   library:NAME       cublaslt or cusolver is not found
//   reset              none of these any more, and a dead device lives again (as the first of a list)
#pragma once

extern "C" {
/// 0, or 1 when the text is none of the above.
__attribute__((visibility("default"))) int t2_cuda_host_fault(const char* text);
}

namespace t2::cuda::host {

/// For libraries.cu: "cublaslt" or "cusolver".
bool library_missing(const char* name);

bool device_missing();
/// Whether this allocation, or this kernel, is the one to fail.
bool allocation_fails();
bool launch_fails();
/// Follows the environment.
void look_for_faults();

}  // namespace t2::cuda::host
