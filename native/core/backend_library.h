// Backends in shared libraries: opening one, and the account of what was tried. Knows no backend by name.
#pragma once
#include <string>

#include "t2/device.h"

namespace t2 {

struct library_wish {
  std::string path;  // of the backend's shared library
  int index = 0;     // of the device
  bool deterministic = false;
  std::string library_path;  // folder to look for the vendor's libraries in first, or empty
};

/// Null when it could not be opened. `attempts` is in any case a JSON array of {what, path, ok, why}.
device_ptr try_backend_library(const library_wish& wish, std::string& attempts);

/// The same, or ERR_T2_CUDA_UNAVAILABLE with detail {device, attempts}.
device_ptr open_backend_library(const library_wish& wish);

}  // namespace t2
