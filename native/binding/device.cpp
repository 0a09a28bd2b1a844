#include "device.h"

#include <cstdlib>

#include "../cpu/backend_cpu.h"
#include "t2/error.h"

namespace t2::binding {

device_ptr open_device(const device_spec& spec) {
  if (!spec.library.path.empty()) return open_backend_library(spec.library);
  return std::make_shared<device>(t2_cpu_backend(), t2_cpu_create(spec.threads));
}

device_spec test_device(int threads, bool deterministic) {
  const char* wish = std::getenv("T2_TEST_DEVICE");
  std::string name = wish && *wish ? wish : "cpu";
  if (name == "cpu") return {threads, {}};
  const char* path = std::getenv("T2_CUDA_LIBRARY");
  if (name != "cuda" || !path || !*path)
    throw error("ERR_T2_INVALID_OPTION", "T2_TEST_DEVICE must be \"cpu\", or \"cuda\" with T2_CUDA_LIBRARY naming the backend's file.");
  return {threads, {path, 0, deterministic, {}}};
}

}  // namespace t2::binding
