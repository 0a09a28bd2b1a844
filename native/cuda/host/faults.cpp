// Host emulation: faults that tests ask for.
#include "faults.h"

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <string>

#include "runtime.h"

namespace t2::cuda::host {
namespace {

std::atomic<long> allocations_left = 0, launches_left = 0;  // 0: none fails
std::atomic<bool> no_device = false, no_cublaslt = false, no_cusolver = false;
std::mutex looking;
std::string seen;

bool is_last(std::atomic<long>& left) {
  long n = left;
  while (n > 0 && !left.compare_exchange_weak(n, n - 1)) {
  }
  return n == 1;
}

bool apply(const std::string& one) {
  const auto colon = one.find(':');
  const std::string what = one.substr(0, colon), which = colon == std::string::npos ? "" : one.substr(colon + 1);
  const long n = std::strtol(which.c_str(), nullptr, 10);
  if (one == "reset") {
    allocations_left = launches_left = 0;
    no_device = no_cublaslt = no_cusolver = false;
    set_sticky(cudaSuccess);
  } else if (what == "memory" && n > 0) allocations_left = n;
  else if (what == "launch" && n > 0) launches_left = n;
  else if (one == "device:none") no_device = true;
  else if (one == "library:cublaslt") no_cublaslt = true;
  else if (one == "library:cusolver") no_cusolver = true;
  else return false;
  return true;
}

}  // namespace

bool library_missing(const char* name) {
  look_for_faults();
  return std::string(name) == "cublaslt" ? no_cublaslt : no_cusolver;
}
bool device_missing() { return no_device; }
bool allocation_fails() { return is_last(allocations_left); }
bool launch_fails() { return is_last(launches_left); }

void look_for_faults() {
  const char* text = std::getenv("T2_CUDA_HOST_FAULT");
  const std::string now = text ? text : "";
  {
    std::lock_guard lock(looking);
    if (now == seen) return;
    seen = now;
  }
  // What the environment asked for before is over, a device that died of it included.
  apply("reset");
  if (!now.empty() && t2_cuda_host_fault(now.c_str())) report("T2_CUDA_HOST_FAULT: " + now + " is no fault");
}

}  // namespace t2::cuda::host

extern "C" int t2_cuda_host_fault(const char* text) {
  const std::string all = text ? text : "";
  for (size_t from = 0; from <= all.size();) {
    const size_t to = std::min(all.find(',', from), all.size());
    if (!t2::cuda::host::apply(all.substr(from, to - from))) return 1;
    from = to + 1;
  }
  return 0;
}
