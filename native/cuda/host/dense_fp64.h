// Host emulation: decompositions of small fp64 matrices, column-major and without gaps, plain and robust.
#pragma once
#include <vector>

namespace t2::cuda::host {

/// The symmetric a[n, n] (lower triangle) becomes its eigenvectors in columns, w its eigenvalues in ascending order. False: no convergence.
bool symmetric_eigenvectors(int n, double* a, double* w);

struct singular_vectors {
  std::vector<double> u, s, v;  // [m, n], [n] descending, [n, n]
};
/// a[m, n] = u diag(s) vᵀ for m ≥ n, by rotations of pairs of columns (one-sided Jacobi).
singular_vectors decompose(int m, int n, const double* a);

}  // namespace t2::cuda::host
