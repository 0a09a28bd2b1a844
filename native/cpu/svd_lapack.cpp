// LAPACK's own decompositions in fp64: slower than the Gram route, right for every matrix. Any thread.
#include <memory>

#include "blas.h"
#include "svd_parts.h"

namespace t2::svd {

bool by_lapack(const problem& p, char which, const cancel_check& cancel, factors& f) {
  struct buffers {
    std::vector<double> a, s, u, vt, work;
    std::vector<int> iwork;
    int info = 0;
  };
  // Row-major W is column-major Wᵀ = (V) S (Uᵀ): LAPACK's u is Vh row-major, its vt is U row-major.
  const int m = p.cols, n = p.rows, r = p.r();
  auto b = std::make_shared<buffers>();
  b->a.assign(p.w, p.w + size_t(m) * n);
  run_abandonable(int64_t(r) * r * p.c() < 20'000'000, cancel, [b, m, n, r, which] {
    b->s.resize(r);
    b->u.resize(size_t(m) * r);
    b->vt.resize(size_t(r) * n);
    b->work.resize(1);
    if (which == 'd') b->iwork.resize(8 * size_t(r));
    auto call = [&](int lwork) {
      if (which == 'd') {
        blas::dgesdd_("S", &m, &n, b->a.data(), &m, b->s.data(), b->u.data(), &m, b->vt.data(), &r, b->work.data(), &lwork, b->iwork.data(),
                      &b->info);
      } else {
        blas::dgesvd_("S", "S", &m, &n, b->a.data(), &m, b->s.data(), b->u.data(), &m, b->vt.data(), &r, b->work.data(), &lwork, &b->info);
      }
    };
    call(-1);  // asks for the size of the work space
    const int lwork = int(b->work[0]);
    b->work.resize(size_t(lwork));
    call(lwork);
  });
  if (b->info != 0) return false;
  f.sigma.assign(b->s.begin(), b->s.end());
  f.u.assign(b->vt.begin(), b->vt.end());
  f.vh.assign(b->u.begin(), b->u.end());
  f.long_orthogonality = -1;
  return true;
}

}  // namespace t2::svd
