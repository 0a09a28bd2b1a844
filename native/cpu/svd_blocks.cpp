// Threads above single-threaded BLAS, and the two fp64 products of the Gram route cut into tiles. Threads of OpenBLAS's own wait for each
// other in every call, which on a busy machine costs more than they bring. Any thread.
#include <algorithm>
#include <atomic>
#include <mutex>
#include <system_error>
#include <thread>

#include "blas.h"
#include "svd_parts.h"

namespace t2::svd {

void team::run(int tasks, const std::function<void(int task)>& f) const {
  std::mutex mutex;
  std::exception_ptr failure;
  std::atomic<bool> stop{false};
  std::atomic<int> next{0};
  auto work = [&] {
    try {
      for (int i; !stop && (i = next++) < tasks;) {
        cancel();
        f(i);
      }
    } catch (...) {
      std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      stop = true;
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < std::min(threads, tasks); i++) {
    try {
      others.emplace_back(work);
    } catch (const std::system_error&) {
      break;  // no more threads to be had: fewer do the work
    }
  }
  work();
  for (std::thread& t : others) t.join();
  if (failure) std::rethrow_exception(failure);
}

pieces even(int total, int most) {
  int count = (total + most - 1) / most;
  return {total, ((total + count - 1) / count + 7) / 8 * 8};
}

std::vector<double> gram(const std::vector<double>& a, int r, int c, const team& team) {
  std::vector<double> g(size_t(r) * r);
  const pieces tiles = even(r, 256), depth{c, 1024};
  const int n = tiles.count();
  team.run(n * (n + 1) / 2, [&](int task) {
    auto [i, j] = pair_of(task, n);
    for (int k = 0; k < depth.count(); k++) {
      team.cancel();
      const double* x = a.data() + size_t(tiles.begin(i)) * c + depth.begin(k);
      const double* y = a.data() + size_t(tiles.begin(j)) * c + depth.begin(k);
      double* out = g.data() + size_t(tiles.begin(i)) * r + tiles.begin(j);
      double keep = k ? 1 : 0;
      if (i == j) {
        blas::cblas_dsyrk(blas::CblasRowMajor, blas::CblasUpper, blas::CblasNoTrans, tiles.length(i), depth.length(k), 1, x, c, keep, out,
                          r);
      } else {
        blas::dgemm(false, true, tiles.length(i), tiles.length(j), depth.length(k), 1, x, c, y, c, keep, out, r);
      }
    }
  });
  return g;
}

void multiply_in_place(const std::vector<double>& m, std::vector<double>& a, int r, int c, const team& team) {
  const pieces columns = even(c, 256), rows = even(r, 512);
  team.run(columns.count(), [&](int task) {
    const int width = columns.length(task);
    double* at = a.data() + columns.begin(task);
    std::vector<double> slice(size_t(r) * width);
    for (int i = 0; i < r; i++) std::copy_n(at + size_t(i) * c, width, slice.data() + size_t(i) * width);
    for (int k = 0; k < rows.count(); k++) {
      team.cancel();
      blas::dgemm(false, false, rows.length(k), width, r, 1, m.data() + size_t(rows.begin(k)) * r, r, slice.data(), width, 0,
                  at + size_t(rows.begin(k)) * c, c);
    }
  });
}

}  // namespace t2::svd
