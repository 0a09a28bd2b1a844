// Linked by OpenBLAS.cmake to see whether the static library needs anything that is not there. Never run.
#include "../native/cpu/blas.h"

using namespace t2::blas;

void* const needed[] = {(void*)cblas_sgemm, (void*)cblas_dgemm, (void*)cblas_dsyrk, (void*)dsyevd_,
                        (void*)sgesdd_,     (void*)dgesdd_,     (void*)dgesvd_};

int main() {
  set_num_threads(1);
  return description().empty() || needed[0] == nullptr;
}
