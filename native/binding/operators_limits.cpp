// The machine's own limits, measured in the same process as the operators they are compared with: reading memory, and OpenBLAS's sgemm.
#include <algorithm>
#include <vector>

#include "../cpu/backend_cpu.h"
#include "../cpu/blas.h"
#include "operators.h"

namespace t2::binding {

/// Sums `megabytes` of memory on all threads of the context. Benchmarks divide the bytes by the time.
static void read_memory(operator_call& op) {
  int64_t count = int64_t(op.integer("megabytes", 1, 4096)) << 18;
  std::vector<float> data(size_t(count), 1.f);
  std::vector<double> sums(4096);
  double total = 0;
  op.run([&] {
    int tasks = op.context->pool.threads() * 8;
    op.context->pool.parallel_for(tasks, [&](int t, int) {
      const float* p = data.data() + count * t / tasks;
      int64_t n = count * (t + 1) / tasks - count * t / tasks;
      sums[size_t(t)] = op.context->k.dot(p, p, int(n));
    });
    for (int t = 0; t < tasks; t++) total += sums[size_t(t)];
    return T2_OK;
  });
  op.give("sum", total);
}

/// c[m, n] = a[m, k] · b[n, k]ᵀ by OpenBLAS with its own `threads`.
static void sgemm(operator_call& op) {
  int m = op.integer("m", 1, 1 << 16), n = op.integer("n", 1, 1 << 16), k = op.integer("k", 1, 1 << 16);
  float *a = op.upload("a", elements({m, k})), *b = op.upload("b", elements({n, k})), *c = op.room(elements({m, n}));
  blas::set_num_threads(op.context->pool.threads());
  op.run([&] {
    blas::sgemm(false, true, m, n, k, 1.f, a, k, b, k, 0.f, c, n);
    return T2_OK;
  });
  blas::set_num_threads(1);
  op.give("c", c, int64_t(m) * n);
}

/// LAPACK's own SVD, sgesdd, for comparison: w [rows, cols], times only.
static void sgesdd(operator_call& op) {
  int m = op.integer("rows", 1, 1 << 14), n = op.integer("cols", 1, 1 << 14), r = std::min(m, n);
  std::vector<float> w = op.floats("w", elements({m, n}));
  blas::set_num_threads(op.context->pool.threads());
  op.run([&] {
    // row-major [m, n] is column-major [n, m]: the factors come out transposed, the work is the same
    std::vector<float> a = w, s(size_t(r), 0.f), u(size_t(n) * size_t(r), 0.f), vt(size_t(r) * size_t(m), 0.f), work(1);
    std::vector<int> iwork(size_t(r) * 8, 0);
    int lwork = -1, info = 0;
    blas::sgesdd_("S", &n, &m, a.data(), &n, s.data(), u.data(), &n, vt.data(), &r, work.data(), &lwork, iwork.data(), &info);
    lwork = int(work[0]);
    work.resize(size_t(lwork));
    blas::sgesdd_("S", &n, &m, a.data(), &n, s.data(), u.data(), &n, vt.data(), &r, work.data(), &lwork, iwork.data(), &info);
    return info == 0 ? T2_OK : T2_ERROR_INVALID;
  });
  blas::set_num_threads(1);
}

const std::vector<named_operator> limit_operators = {{"read_memory", read_memory}, {"sgemm", sgemm}, {"sgesdd", sgesdd}};

}  // namespace t2::binding
