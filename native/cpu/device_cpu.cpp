// The devices this build knows, and what it can say about the machine.
#include <thread>

#include "backend_cpu.h"
#include "blas.h"
#include "t2/device.h"
#include "t2/engine.h"

namespace t2 {

std::shared_ptr<device> open_device(const std::string& wish, int threads) {
  if (wish != "cpu") throw error("ERR_T2_CUDA_UNAVAILABLE", "This build has no device \"" + wish + "\".");
  return std::make_shared<device>(t2_cpu_backend(), t2_cpu_create(threads));
}

system_info describe_system() {
  system_info s;
  s.isa = cpu::select_kernels().isa;
  s.blas = blas::description();
  s.compiler = "g++ " __VERSION__;
#ifdef NDEBUG
  s.build = "Release";
#else
  s.build = "Debug";
#endif
  s.cores = int(std::thread::hardware_concurrency());
  return s;
}

}  // namespace t2
