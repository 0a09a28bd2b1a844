// Chooses the kernel variant once, by what the processor says and T2_CPU allows.
#include "kernels.h"

#include <cstdlib>
#include <cstring>

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

static const kernels& choose() {
  const char* wish = std::getenv("T2_CPU");
  __builtin_cpu_init();
  bool has2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  bool has512 = has2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512vl");
  if (wish && !std::strcmp(wish, "baseline")) return baseline::table;
  if (wish && !std::strcmp(wish, "avx2")) has512 = false;
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
