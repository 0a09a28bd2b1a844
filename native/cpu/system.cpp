// What this build can say about the machine.
#include <thread>

#include "blas.h"
#include "kernels.h"
#include "t2/engine.h"

namespace t2 {

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
