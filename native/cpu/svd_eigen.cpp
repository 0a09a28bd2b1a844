// Symmetric eigenvectors as LAPACK's dsyevd finds them, with its three stages called one by one: each is cut into steps between which a
// cancel flag is looked at, and the back-transformation runs in wider blocks than dormtr's. Any thread.
#include <algorithm>
#include <memory>

#include "blas.h"
#include "svd_parts.h"

namespace t2::svd {

namespace {

constexpr int reflect_block = 64;

/// z := Q z, Q the product of the n − 1 reflectors that tridiagonalise left in a. As dormtr, but z in panels of columns.
void apply_reflectors(const double* a, int n, const double* tau, double* z, const team& team) {
  const int k = n - 1, nb = std::min(reflect_block, k);
  const pieces blocks{k, nb}, columns = even(n, 256);
  std::vector<double> t(size_t(blocks.count()) * nb * nb);
  auto vectors = [&](int b) { return a + size_t(b) * nb * n + b * nb + 1; };  // their unit diagonal is implied
  team.run(blocks.count(), [&](int b) {
    const int m = k - blocks.begin(b), ib = blocks.length(b);
    blas::dlarft_("F", "C", &m, &ib, vectors(b), &n, tau + blocks.begin(b), t.data() + size_t(b) * nb * nb, &nb);
  });
  team.run(columns.count(), [&](int task) {
    const int width = columns.length(task);
    std::vector<double> work(size_t(width) * nb);
    for (int b = blocks.count() - 1; b >= 0; b--) {
      team.cancel();
      const int m = k - blocks.begin(b), ib = blocks.length(b);
      blas::dlarfb_("L", "N", "F", "C", &m, &width, &ib, vectors(b), &n, t.data() + size_t(b) * nb * nb, &nb,
                    z + size_t(columns.begin(task)) * n + blocks.begin(b) + 1, &n, work.data(), &width);
    }
  });
}

/// What dstedc works on: alone on a thread of its own when its caller has gone.
struct tridiagonal {
  std::vector<double> d, e, z, work;
  std::vector<int> iwork;
  int info = 0;
};

}  // namespace

std::vector<double> symmetric_eigenvectors(std::vector<double>&& a, int n, const team& team) {
  auto t = std::make_shared<tridiagonal>();
  t->d.resize(n);
  t->e.resize(n);
  std::vector<double> tau(n);
  tridiagonalise(a.data(), n, t->d.data(), t->e.data(), tau.data(), team);
  t->z.resize(size_t(n) * n);
  run_abandonable(n <= 512, team.cancel, [t, n] {
    int lwork = 1 + 4 * n + n * n, liwork = 3 + 5 * n;
    t->work.resize(lwork);
    t->iwork.resize(liwork);
    blas::dstedc_("I", &n, t->d.data(), t->e.data(), t->z.data(), &n, t->work.data(), &lwork, t->iwork.data(), &liwork, &t->info);
  });
  if (t->info != 0) return {};
  if (n > 1) apply_reflectors(a.data(), n, tau.data(), t->z.data(), team);
  return std::move(t->z);
}

}  // namespace t2::svd
