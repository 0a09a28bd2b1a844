// Host emulation: the host versions of cuBLASLt and cuSOLVER in place of NVIDIA's; stands for libraries.cu.
#include "libraries.h"

#include "faults.h"

namespace t2::cuda {

libraries::~libraries() {
  if (lt_context) lt.destroy(lt_context);
}

bool libraries::open(const char*, std::vector<attempt>& attempts) {
  if (host::library_missing("cublaslt")) {
    attempts.push_back({"cuBLASLt", "libcublasLt.so.13", "taken away by a fault"});
    return false;
  }
  lt = host::lt_functions();
  lt_version = int(lt.version());
  lt_major = lt_version / 10000;
  lt_path = "host emulation";
  if (lt.create(&lt_context)) return false;
  attempts.push_back({"cuBLASLt", lt_path, "", true});
  if (host::library_missing("cusolver")) {
    attempts.push_back({"cuSOLVER", "libcusolver.so.12", "taken away by a fault"});
    solver_missing = "cuSOLVER was not found: " + attempts.back().why;
    return true;
  }
  solver = host::solver_functions();
  solver_version = 12000;
  solver_major = 12;
  solver_path = "host emulation";
  attempts.push_back({"cuSOLVER", solver_path, "", true});
  return true;
}

}  // namespace t2::cuda
