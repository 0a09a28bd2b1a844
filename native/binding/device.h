// Which backend a model, or a single operator, runs on.
#pragma once
#include <string>

#include "../core/backend_library.h"

namespace t2::binding {

struct device_spec {
  int threads = 0;       // of the CPU, 0: as many as cores
  library_wish library;  // an empty path: the CPU
};

/// Throws ERR_T2_CUDA_UNAVAILABLE with detail {device, attempts}.
device_ptr open_device(const device_spec& spec);

/// The device that T2_TEST_DEVICE names: "cpu" (default), or "cuda", the backend in the file that T2_CUDA_LIBRARY names.
device_spec test_device(int threads, bool deterministic);

}  // namespace t2::binding
