// The pieces that svd.cpp puts together. W is fp32 row-major [rows, cols]; r = min(rows, cols) is the short side, c the long one.
#pragma once
#include <functional>
#include <vector>

#include "t2/cancel.h"
#include "t2/svd.h"

namespace t2::svd {

struct problem {
  const float* w;
  int rows, cols;
  int r() const { return rows < cols ? rows : cols; }
  int c() const { return rows < cols ? cols : rows; }
  bool wide() const { return rows <= cols; }
};

struct factors {
  std::vector<float> u;   // [rows, r]
  std::vector<float> vh;  // [r, cols]
  std::vector<float> sigma;
};

struct quality {
  double residual = 0, orthogonality_u = 0, orthogonality_v = 0;
  bool good() const { return residual <= 1e-6 && orthogonality_u <= 1e-5 && orthogonality_v <= 1e-5; }
};

/// Steps in which work is cut so that a cancel flag is seen in time: how many columns of a product with `flops_per_column` make about 10
/// ms.
int panel(int64_t total, double flops_per_column);

/// Eigenvectors of the symmetric a[n, n] (lower triangle in column-major order; destroyed), as the rows of the result in ascending order of
/// their eigenvalues. Empty when LAPACK did not converge.
std::vector<double> symmetric_eigenvectors(std::vector<double>&& a, int n, const cancel_check& cancel);

/// The Gram route. False when it did not converge or a singular value is zero to its precision: then LAPACK must do it.
bool by_gram(const problem& p, const cancel_check& cancel, factors& f, int& newton_schulz_steps);

/// LAPACK's dgesdd ('d') or dgesvd ('v'). False when it did not converge.
bool by_lapack(const problem& p, char which, const cancel_check& cancel, factors& f);

/// max |I − m mᵀ| over the rows of m[n, k], or over its columns (mᵀ m for m[k, n]) when `columns`.
double orthogonality(const float* m, int n, int k, bool columns, const cancel_check& cancel);
quality measure(const problem& p, const factors& f, const cancel_check& cancel);

/// In each column of U the entry of largest magnitude (the first of them) becomes positive.
void fix_signs(const problem& p, factors& f);

/// Runs a job that cannot be interrupted. A fired flag throws within some milliseconds and leaves the job to finish by itself, so it may
/// touch only what it owns; the process waits for such jobs when it ends. Small jobs run on the caller's thread.
void run_abandonable(bool small, const cancel_check& cancel, std::function<void()> job);

}  // namespace t2::svd
