// Self-test of the host emulation of CUDA: correct kernels pass under every order of their threads, planted faults are caught. Built and
// run by selftest.test.ts, or by hand:
//   g++ -std=c++20 -O2 -g -fsanitize=alignment -fsanitize-undefined-trap-on-error -DT2_CUDA_HOST -Inative/cuda/host -Inative/cuda
//   -Inative/include -pthread -o selftest
//     test/native/cuda-host/selftest*.cpp
//     native/cuda/host/{context_switch,failure,faults,fibre,launch,memory,runtime,shared_memory,streams,warp}.cpp
// Arguments: none for the checks; "strict touch", "strict kernel" and "late streams" for those that need a process of their own.
#include "selftest.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace selftest {
namespace {

int failed = 0;

__global__ void set_to(float* p, float value) { p[threadIdx.x] = value; }

/// With T2_CUDA_HOST_STRICT=1: whether host code that touches device memory dies, and kernels and copies do not.
int strict(bool touch) {
  array<float> a(32);
  EXPECT_STATUS(go(set_to, 1, 32, 0, a.p, 3.0f), cudaSuccess);
  EXPECT(a.values()[31] == 3.0f);
  float seen = 0;
  EXPECT_STATUS(t2::cuda::host::enqueue(nullptr, [&] { seen = a.p[5]; }), cudaSuccess);
  EXPECT(seen == 3.0f);
  if (touch) std::printf("%g\n", double(*static_cast<volatile float*>(a.p)));
  return wrong_in_check;
}

int in_a_process_of_its_own(const char* variable, const char* value, const char* mode, const char* what) {
  const char* program = "/proc/self/exe";
  const pid_t child = fork();
  if (!child) {
    setenv(variable, value, 1);
    execl(program, program, mode, what, nullptr);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

void strict_processes() {
  EXPECT(in_a_process_of_its_own("T2_CUDA_HOST_STRICT", "1", "strict", "kernel") == 0);
  const int status = in_a_process_of_its_own("T2_CUDA_HOST_STRICT", "1", "strict", "touch");
  EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}
void late_process() { EXPECT(in_a_process_of_its_own("T2_CUDA_HOST_STREAMS", "late", "late", "streams") == 0); }

}  // namespace

void check(const char* name, void (*body)()) {
  t2_cuda_host_fault("reset");
  cudaGetLastError();
  seed(1);
  wrong_in_check = 0;
  body();
  std::printf("%s %s\n", wrong_in_check ? "not ok" : "ok", name);
  failed += wrong_in_check != 0;
}

}  // namespace selftest

int main(int count, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  if (count == 3 && std::string(arguments[1]) == "late") return selftest::late_streams();
  if (count == 3) return selftest::strict(std::string(arguments[2]) == "touch");
  selftest::correct_kernels();
  selftest::planted_faults();
  selftest::runtime_calls();
  selftest::check("strict: device memory belongs to kernels", selftest::strict_processes);
  selftest::check("late streams: waits that are missing show", selftest::late_process);
  return selftest::failed != 0;
}
