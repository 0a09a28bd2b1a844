// Singular value decomposition of weight matrices, and how the CPU does it (devices: backend.h, t2_svd): fp64 Gram matrix on the short
// side, the stages of LAPACK's dsyevd, repair by Newton–Schulz, LAPACK gesdd/gesvd as the fallback. Rule for signs: in each column of U the
// entry of largest magnitude is positive.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "t2/backend.h"
#include "t2/cancel.h"
#include "t2/dtype.h"

namespace t2 {

/// gesdd is the CPU's, gesvdj and gesvdp are a GPU's.
enum class svd_driver { automatic, gram, gesdd, gesvd, gesvdj, gesvdp };

struct svd_result {
  int rows = 0, cols = 0, rank = 0;
  dtype type = dtype::f32;     // of u and vh
  std::vector<uint8_t> u;      // [rows, rank]
  std::vector<uint8_t> vh;     // [rank, cols]
  std::vector<float> sigma;    // descending
  double residual = 0;         // ‖W − U S Vh‖F / ‖W‖F of the fp32 factors, estimated by 32 random probes in fp64
  double orthogonality_u = 0;  // max |I − UᵀU| of the fp32 factors; fp32 rounding of 3e-7 is in it
  double orthogonality_v = 0;
  std::string driver;  // "gram", "gram+newton-schulz", or as in svd_driver
  double milliseconds = 0;
};

/// One matrix, on `threads` threads (the result does not depend on how many). A fired flag is answered within some ten milliseconds. Throws
/// ERR_T2_INVALID_CHECKPOINT for non-finite entries, ERR_T2_INVALID_OPTION when driver gram is forced on a matrix it cannot do.
svd_result decompose(const t2_matrix& w, dtype type, svd_driver driver, int threads, const cancel_check& cancel);

/// Many matrices: small ones in parallel on `threads` threads, one each; large ones with up to seven threads each, so that few are in
/// memory at once. `on_result(i, result)` comes from the threads, one call at a time. Order is not promised. Rethrows the first error after
/// all threads stopped.
void decompose_all(const std::vector<t2_matrix>& matrices, dtype type, svd_driver driver, int threads, const cancel_check& cancel,
                   const std::function<void(size_t, svd_result&&)>& on_result);

/// Throws ERR_T2_INVALID_CHECKPOINT for the first entry that is not finite.
void require_finite(const t2_matrix& w);
/// Factors as they are stored: rounded to nearest even.
std::vector<uint8_t> stored(const float* x, size_t count, dtype type);

}  // namespace t2
