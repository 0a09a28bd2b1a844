// Singular values and vectors by the fp64 Gram matrix of the short side. U is orthogonal to rounding, so the residual is rounding too; V =
// UᵀW with its rows normalised loses orthogonality with the square of the condition, which Newton–Schulz repairs up to about 1e7. Any
// thread.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "svd_parts.h"

namespace t2::svd {

namespace {

constexpr int tile = 32;  // transposing in tiles that stay in the cache

/// W, or Wᵀ of a tall matrix, in fp64: [r, c].
std::vector<double> load(const problem& p, const team& team) {
  if (p.wide()) return {p.w, p.w + size_t(p.rows) * p.cols};
  const int r = p.r(), c = p.c();
  std::vector<double> a(size_t(r) * c);
  const pieces strips{r, tile}, blocks{c, tile};
  team.run(strips.count(), [&](int s) {
    for (int b = 0; b < blocks.count(); b++)
      for (int i = strips.begin(s); i < strips.begin(s) + strips.length(s); i++)
        for (int j = blocks.begin(b); j < blocks.begin(b) + blocks.length(b); j++) a[size_t(i) * c + j] = p.w[size_t(j) * r + i];
  });
  return a;
}

/// v := (1.5 I − 0.5 v vᵀ) v, rows of v[r, c] towards orthonormality; quadratic near it.
void newton_schulz(std::vector<double>& v, int r, int c, const team& team) {
  std::vector<double> m = gram(v, r, c, team);
  for (int i = 0; i < r; i++)
    for (int j = i; j < r; j++) m[size_t(j) * r + i] = m[size_t(i) * r + j] = (i == j ? 1.5 : 0) - 0.5 * m[size_t(i) * r + j];
  multiply_in_place(m, v, r, c, team);
}

/// to[j] = from[order[j]]: rows [r, n].
void store_rows(const std::vector<double>& from, const std::vector<int>& order, int n, std::vector<float>& to) {
  to.resize(from.size());
  for (size_t j = 0; j < order.size(); j++) std::copy_n(from.data() + size_t(order[j]) * n, n, to.data() + j * n);
}

/// to[:, j] = from[order[j]]: columns of [n, r].
void store_columns(const std::vector<double>& from, const std::vector<int>& order, int n, std::vector<float>& to, const team& team) {
  to.resize(from.size());
  const int r = int(order.size());
  const pieces strips{n, tile}, blocks{r, tile};
  team.run(strips.count(), [&](int s) {
    for (int b = 0; b < blocks.count(); b++)
      for (int i = strips.begin(s); i < strips.begin(s) + strips.length(s); i++)
        for (int j = blocks.begin(b); j < blocks.begin(b) + blocks.length(b); j++)
          to[size_t(i) * r + j] = float(from[size_t(order[j]) * n + i]);
  });
}

}  // namespace

bool by_gram(const problem& p, const team& team, factors& f, int& newton_schulz_steps) {
  const int r = p.r(), c = p.c();
  std::vector<double> v = load(p, team);
  std::vector<double> e = symmetric_eigenvectors(gram(v, r, c, team), r, team);  // rows: vectors of the short side
  if (e.empty()) return false;
  multiply_in_place(e, v, r, c, team);

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

  for (newton_schulz_steps = 0;; newton_schulz_steps++) {
    p.wide() ? store_rows(v, order, c, f.vh) : store_columns(v, order, c, f.u, team);
    f.long_orthogonality = orthogonality(p.wide() ? f.vh.data() : f.u.data(), r, c, !p.wide(), team);
    if (newton_schulz_steps == 3 || !(f.long_orthogonality > 1e-6)) break;
    newton_schulz(v, r, c, team);
  }
  p.wide() ? store_columns(e, order, r, f.u, team) : store_rows(e, order, r, f.vh);
  return true;
}

}  // namespace t2::svd
