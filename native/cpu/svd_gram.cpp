// Singular values and vectors by the fp64 Gram matrix of the short side. U is orthogonal to rounding, so the residual is rounding too; V =
// UᵀW with its rows normalised loses orthogonality with the square of the condition, which Newton–Schulz repairs up to about 1e7. Any
// thread.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "blas.h"
#include "svd_parts.h"

namespace t2::svd {

namespace {

/// Slice [at, at + width) of W's long side in fp64: [r, width] of a wide matrix, [width, r] of a tall one.
void load_slice(const problem& p, int at, int width, double* out) {
  if (p.wide()) {
    for (int i = 0; i < p.rows; i++) std::copy_n(p.w + size_t(i) * p.cols + at, width, out + size_t(i) * width);
  } else {
    std::copy_n(p.w + size_t(at) * p.cols, size_t(width) * p.cols, out);
  }
}

std::vector<double> gram_matrix(const problem& p, const cancel_check& cancel) {
  const int r = p.r(), c = p.c(), step = panel(c, double(r) * r);
  std::vector<double> g(size_t(r) * r), slice(size_t(r) * step);
  for (int at = 0; at < c; at += step) {
    cancel();
    int width = std::min(step, c - at);
    load_slice(p, at, width, slice.data());
    // The upper triangle of a row-major matrix is the lower one of a column-major.
    blas::cblas_dsyrk(blas::CblasRowMajor, blas::CblasUpper, p.wide() ? blas::CblasNoTrans : blas::CblasTrans, r, width, 1, slice.data(),
                      p.wide() ? width : r, at ? 1 : 0, g.data(), r);
  }
  return g;
}

/// e · W, or e · Wᵀ of a tall matrix: [r, c].
std::vector<double> project(const problem& p, const std::vector<double>& e, const cancel_check& cancel) {
  const int r = p.r(), c = p.c(), step = panel(c, 2.0 * r * r);
  std::vector<double> b(size_t(r) * c), slice(size_t(r) * step);
  for (int at = 0; at < c; at += step) {
    cancel();
    int width = std::min(step, c - at);
    load_slice(p, at, width, slice.data());
    blas::dgemm(false, !p.wide(), r, width, r, 1, e.data(), r, slice.data(), p.wide() ? width : r, 0, b.data() + at, c);
  }
  return b;
}

/// v := (1.5 I − 0.5 v vᵀ) v, rows of v[r, c] towards orthonormality; quadratic near it.
void newton_schulz(std::vector<double>& v, int r, int c, const cancel_check& cancel) {
  const int step = panel(c, 2.0 * r * r);
  std::vector<double> m(size_t(r) * r), slice(size_t(r) * step);
  for (int at = 0; at < c; at += step) {
    cancel();
    blas::cblas_dsyrk(blas::CblasRowMajor, blas::CblasUpper, blas::CblasNoTrans, r, std::min(step, c - at), -0.5, v.data() + at, c,
                      at ? 1 : 0, m.data(), r);
  }
  for (int i = 0; i < r; i++) {
    m[size_t(i) * r + i] += 1.5;
    for (int j = 0; j < i; j++) m[size_t(i) * r + j] = m[size_t(j) * r + i];
  }
  for (int at = 0; at < c; at += step) {
    cancel();
    int width = std::min(step, c - at);
    for (int i = 0; i < r; i++) std::copy_n(v.data() + size_t(i) * c + at, width, slice.data() + size_t(i) * width);
    blas::dgemm(false, false, r, width, r, 1, m.data(), r, slice.data(), width, 0, v.data() + at, c);
  }
}

/// to[j] = from[order[j]]: rows [r, n].
void store_rows(const std::vector<double>& from, const std::vector<int>& order, int n, std::vector<float>& to) {
  to.resize(from.size());
  for (size_t j = 0; j < order.size(); j++) std::copy_n(from.data() + size_t(order[j]) * n, n, to.data() + j * n);
}

/// to[:, j] = from[order[j]]: columns of [n, r], in tiles that stay in the cache.
void store_columns(const std::vector<double>& from, const std::vector<int>& order, int n, std::vector<float>& to) {
  to.resize(from.size());
  const int r = int(order.size()), tile = 32;
  for (int j0 = 0; j0 < r; j0 += tile)
    for (int i0 = 0; i0 < n; i0 += tile)
      for (int i = i0; i < std::min(n, i0 + tile); i++)
        for (int j = j0; j < std::min(r, j0 + tile); j++) to[size_t(i) * r + j] = float(from[size_t(order[j]) * n + i]);
}

}  // namespace

bool by_gram(const problem& p, const cancel_check& cancel, factors& f, int& newton_schulz_steps) {
  const int r = p.r(), c = p.c();
  std::vector<double> e = symmetric_eigenvectors(gram_matrix(p, cancel), r, cancel);  // rows: vectors of the short side
  if (e.empty()) return false;
  std::vector<double> v = project(p, e, cancel);

  std::vector<double> sigma(r);
  for (int i = 0; i < r; i++) {
    double* row = v.data() + size_t(i) * c;
    sigma[i] = std::sqrt(std::inner_product(row, row + c, row, 0.0));
  }
  std::vector<int> order(r);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return sigma[a] > sigma[b]; });
  // Below this the small directions are noise of the Gram matrix and no repair of V would be true to W.
  if (!(sigma[order[r - 1]] > 2e-8 * sigma[order[0]])) return false;
  f.sigma.resize(r);
  for (int j = 0; j < r; j++) f.sigma[j] = float(sigma[order[j]]);
  for (int i = 0; i < r; i++) {
    double* row = v.data() + size_t(i) * c;
    for (int j = 0; j < c; j++) row[j] /= sigma[i];
  }

  auto store_long = [&] { p.wide() ? store_rows(v, order, c, f.vh) : store_columns(v, order, c, f.u); };
  auto long_orthogonality = [&] { return orthogonality(p.wide() ? f.vh.data() : f.u.data(), r, c, !p.wide(), cancel); };
  store_long();
  for (newton_schulz_steps = 0; newton_schulz_steps < 3 && long_orthogonality() > 1e-6; newton_schulz_steps++) {
    newton_schulz(v, r, c, cancel);
    store_long();
  }
  p.wide() ? store_columns(e, order, r, f.u) : store_rows(e, order, r, f.vh);
  return true;
}

}  // namespace t2::svd
