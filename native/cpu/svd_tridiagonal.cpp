// Householder reduction of a symmetric matrix to tridiagonal form: dsytrd (lower triangle, column-major) panel by panel, the update of what
// is left shared among threads. The panels themselves are serial and bound by memory. Any thread.
#include "blas.h"
#include "svd_parts.h"
#include "thread_pool.h"

namespace t2::svd {

namespace {

constexpr int panel = 32, tile = 256;

/// a −= v wᵀ + w vᵀ in the lower triangle of a [n, n]; v and w [n, panel].
void update(double* a, int n, int ld, const double* v, const double* w, cpu::thread_pool& pool) {
  const pieces p = even(n, tile);
  pool.parallel_for(p.count() * (p.count() + 1) / 2, [&](int task, int) {
    const auto [j, i] = pair_of(task, p.count());
    const int jb = p.begin(j), ib = p.begin(i), rows = p.length(i), columns = p.length(j);
    double* block = a + size_t(jb) * ld + ib;
    if (i == j) {
      const double minus = -1, one = 1;
      const int k = panel;
      blas::dsyr2k_("L", "N", &rows, &k, &minus, v + ib, &ld, w + ib, &ld, &one, block, &ld);
    } else {
      // Row-major, the same block is its transpose.
      blas::dgemm(true, false, columns, rows, panel, -1, w + jb, ld, v + ib, ld, 1, block, ld);
      blas::dgemm(true, false, columns, rows, panel, -1, v + jb, ld, w + ib, ld, 1, block, ld);
    }
  });
}

}  // namespace

void tridiagonalise(double* a, int n, double* d, double* e, double* tau, const team& team) {
  cpu::thread_pool pool(n >= 512 ? team.threads : 1);
  std::vector<double> w(size_t(n) * panel);
  int i = 0, info = 0;
  for (; n - i > 2 * panel; i += panel) {
    team.cancel();
    double* aii = a + size_t(i) * n + i;
    const int m = n - i, nb = panel;
    blas::dlatrd_("L", &m, &nb, aii, &n, e + i, tau + i, w.data(), &n);
    update(aii + size_t(nb) * n + nb, m - nb, n, aii + nb, w.data() + nb, pool);
    for (int j = 0; j < nb; j++) {
      aii[size_t(j) * n + j + 1] = e[i + j];
      d[i + j] = aii[size_t(j) * n + j];
    }
  }
  const int m = n - i;
  blas::dsytd2_("L", &m, a + size_t(i) * n + i, &n, d + i, e + i, tau + i, &info);
}

}  // namespace t2::svd
