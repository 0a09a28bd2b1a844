// The pieces that svd.cpp puts together. W is fp32 row-major [rows, cols]; r = min(rows, cols) is the short side, c the long one. BLAS runs
// with one thread; `team` splits the work above it, always into the same pieces, so that results do not depend on the number of threads.
#pragma once
#include <functional>
#include <vector>

#include "t2/cancel.h"
#include "t2/svd.h"

namespace t2::svd {

/// Threads for the time of one call, and the flag that every one of them looks at before every task.
struct team {
  int threads;
  const cancel_check& cancel;

  /// f(task) for every task in [0, tasks), on the caller's thread and `threads` − 1 more. Rethrows the first error when all have stopped.
  void run(int tasks, const std::function<void(int task)>& f) const;
};

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
  double long_orthogonality = -1;  // of vh of a wide matrix, of u of a tall one, where it is known already
};

struct quality {
  double residual = 0, orthogonality_u = 0, orthogonality_v = 0;
  bool good() const { return residual <= 1e-6 && orthogonality_u <= 1e-5 && orthogonality_v <= 1e-5; }
};

/// A range cut into pieces of equal size, the last one perhaps shorter.
struct pieces {
  int total, size;
  int count() const { return (total + size - 1) / size; }
  int begin(int i) const { return i * size; }
  int length(int i) const { return i + 1 < count() ? size : total - i * size; }
};
/// Pieces of at most `most`, of nearly equal size.
pieces even(int total, int most);
/// The pairs i ≤ j of `n` pieces, numbered.
struct pair_of {
  int i = 0, j;
  pair_of(int task, int n) : j(task) {
    while (j >= n - i) j -= n - i++;
    j += i;
  }
};

/// The upper triangle of a aᵀ for a[r, c], row-major (that is the lower one, column-major).
std::vector<double> gram(const std::vector<double>& a, int r, int c, const team& team);
/// a[r, c] := m[r, r] a
void multiply_in_place(const std::vector<double>& m, std::vector<double>& a, int r, int c, const team& team);

/// The symmetric a[n, n] (lower triangle in column-major order) as Q T Qᵀ: d and e are T's diagonals, Q's reflectors stay below the first
/// subdiagonal of a, as dsytrd leaves them.
void tridiagonalise(double* a, int n, double* d, double* e, double* tau, const team& team);

/// Eigenvectors of the symmetric a[n, n] (lower triangle in column-major order; destroyed), as the rows of the result in ascending order of
/// their eigenvalues. Empty when LAPACK did not converge.
std::vector<double> symmetric_eigenvectors(std::vector<double>&& a, int n, const team& team);

/// The Gram route. False when it did not converge or a singular value is zero to its precision: then LAPACK must do it.
bool by_gram(const problem& p, const team& team, factors& f, int& newton_schulz_steps);

/// LAPACK's dgesdd ('d') or dgesvd ('v'). False when it did not converge.
bool by_lapack(const problem& p, char which, const cancel_check& cancel, factors& f);

/// max |I − m mᵀ| over the rows of m[n, k], or over its columns (mᵀ m for m[k, n]) when `columns`.
double orthogonality(const float* m, int n, int k, bool columns, const team& team);
quality measure(const problem& p, const factors& f, const team& team);

/// In each column of U the entry of largest magnitude (the first of them) becomes positive.
void fix_signs(const problem& p, factors& f);

/// Runs a job that cannot be interrupted. A fired flag throws within some milliseconds and leaves the job to finish by itself, so it may
/// touch only what it owns; the process waits for such jobs when it ends. Small jobs run on the caller's thread.
void run_abandonable(bool small, const cancel_check& cancel, std::function<void()> job);

}  // namespace t2::svd
