// Chooses the kernel variant once, by what the processor says and T2_CPU allows.
#include "kernels.h"

#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace t2::cpu {

#if defined(__x86_64__)
namespace baseline {
extern const kernels table;
}
namespace avx2 {
extern const kernels table;
}
namespace avx512 {
extern const kernels table;
}
namespace amx {
extern const matrix_unit unit;
}
namespace amx_emulated {
extern const matrix_unit unit;
}

/// Whether the processor has AMX for BF16 and the system lets this process keep tiles (Linux asks once per process for their memory).
static bool has_amx() {
#if defined(__linux__)
  constexpr int request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  constexpr unsigned bf16 = 1u << 22, tile = 1u << 24;        // of leaf 7, not among the names that older compilers know
  unsigned a, b, c, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & bf16) && (d & tile) &&
         ::syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

static const kernels& choose() {
  const char* wish = std::getenv("T2_CPU");
  __builtin_cpu_init();
  bool has2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  bool has512 = has2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512vl");
  if (wish && !std::strcmp(wish, "baseline")) return baseline::table;
  if (wish && !std::strcmp(wish, "avx2")) has512 = false;
  bool emulated = wish && !std::strcmp(wish, "amx-emulated");
  if (has512 && (emulated || (!(wish && !std::strcmp(wish, "avx512")) && has_amx()))) {
    static kernels with_unit = avx512::table;
    with_unit.isa = emulated ? "amx-emulated" : "amx";
    with_unit.unit = emulated ? &amx_emulated::unit : &amx::unit;
    return with_unit;
  }
  return has512 ? avx512::table : has2 ? avx2::table : baseline::table;
}
#else
namespace neon {
extern const kernels table;
}
static const kernels& choose() { return neon::table; }
#endif

const kernels& select_kernels() {
  static const kernels& chosen = choose();
  return chosen;
}

}  // namespace t2::cpu
