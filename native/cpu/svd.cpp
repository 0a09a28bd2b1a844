// Decomposition of one matrix (Gram route, LAPACK where it is not good enough) and of many on several threads. Called from the engine
// thread or a thread of the caller; sets the number of BLAS threads for the time of a large matrix and leaves it at 1.
#include "t2/svd.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>
#include <numeric>

#include "blas.h"
#include "svd_parts.h"
#include "t2/error.h"

namespace t2 {

namespace {

constexpr int large = 1500;  // from here on one matrix is work for several threads (and takes much memory)

float element(const t2_matrix& w, size_t i) {
  switch (dtype(w.dtype)) {
    case dtype::f32:
      return static_cast<const float*>(w.data)[i];
    case dtype::f16:
      return f16_to_f32(static_cast<const uint16_t*>(w.data)[i]);
    case dtype::bf16:
      return bf16_to_f32(static_cast<const uint16_t*>(w.data)[i]);
  }
  return 0;
}

/// W as fp32 without gaps. Throws for the first entry that is not finite.
std::vector<float> read(const t2_matrix& w) {
  std::vector<float> out(size_t(w.rows) * w.cols);
  for (int i = 0; i < w.rows; i++) {
    float* row = out.data() + size_t(i) * w.cols;
    const size_t from = size_t(i) * size_t(w.stride);
    if (dtype(w.dtype) == dtype::bf16) {
      const uint16_t* h = static_cast<const uint16_t*>(w.data) + from;
      for (int j = 0; j < w.cols; j++) row[j] = bf16_to_f32(h[j]);
    } else {
      for (int j = 0; j < w.cols; j++) row[j] = element(w, from + j);
    }
    float probe = 0;
    for (int j = 0; j < w.cols; j++) probe += row[j] * 0.f;  // NaN for NaN and for infinity
    if (probe == 0) continue;
    int bad = int(std::find_if(row, row + w.cols, [](float x) { return !std::isfinite(x); }) - row);
    throw error("ERR_T2_INVALID_CHECKPOINT",
                std::string("The matrix has ") + (std::isnan(row[bad]) ? "NaN" : "an infinity") + " in row " + std::to_string(i) +
                    ", column " + std::to_string(bad) + "; weights must be finite. The checkpoint is damaged.",
                "{\"row\":" + std::to_string(i) + ",\"column\":" + std::to_string(bad) + "}");
  }
  return out;
}

/// Factors with their quality and the name of the driver that made them.
std::string solve(const svd::problem& p, svd_driver driver, const svd::team& team, svd::factors& f, svd::quality& q) {
  if (driver == svd_driver::gesvdj || driver == svd_driver::gesvdp) {
    const std::string name = driver == svd_driver::gesvdj ? "gesvdj" : "gesvdp";
    throw error("ERR_T2_INVALID_OPTION", "Driver \"" + name + "\" needs a GPU; the CPU has \"auto\", \"gram\", \"gesdd\" and \"gesvd\".",
                "{\"option\":\"driver\",\"actual\":\"" + name + "\"}");
  }
  if (driver == svd_driver::automatic || driver == svd_driver::gram) {
    int steps = 0;
    bool done = svd::by_gram(p, team, f, steps);
    if (done) {
      svd::fix_signs(p, f);
      q = svd::measure(p, f, team);
      if (q.good() || driver == svd_driver::gram) return steps ? "gram+newton-schulz" : "gram";
    } else if (driver == svd_driver::gram) {
      throw error("ERR_T2_INVALID_OPTION",
                  "Driver \"gram\" cannot decompose this matrix: its smallest singular value is zero to working precision. "
                  "Use \"auto\" or \"gesdd\".",
                  "{\"option\":\"driver\",\"actual\":\"gram\"}");
    }
  }
  for (char which : {'d', 'v'}) {
    if (which == 'd' && driver == svd_driver::gesvd) continue;
    if (!svd::by_lapack(p, which, team.cancel, f)) continue;  // dgesdd may fail to converge where dgesvd does
    svd::fix_signs(p, f);
    q = svd::measure(p, f, team);
    return which == 'd' ? "gesdd" : "gesvd";
  }
  throw error("ERR_T2_NATIVE", "LAPACK's singular value decomposition did not converge for a matrix of " + std::to_string(p.rows) + " × " +
                                   std::to_string(p.cols) + ".");
}

}  // namespace

void require_finite(const t2_matrix& w) { read(w); }

std::vector<uint8_t> stored(const float* x, size_t count, dtype type) {
  std::vector<uint8_t> out(count * size_t(size_of(type)));
  if (type == dtype::f32) {
    std::memcpy(out.data(), x, out.size());
  } else {
    uint16_t* to = reinterpret_cast<uint16_t*>(out.data());
    for (size_t i = 0; i < count; i++) to[i] = type == dtype::f16 ? f32_to_f16(x[i]) : f32_to_bf16(x[i]);
  }
  return out;
}

svd_result decompose(const t2_matrix& w, dtype type, svd_driver driver, int threads, const cancel_check& cancel) {
  auto start = std::chrono::steady_clock::now();
  blas::set_num_threads(1);
  cancel();
  std::vector<float> values = read(w);
  svd::problem p{values.data(), w.rows, w.cols};
  svd::factors f;
  svd::quality q;
  svd_result result;
  result.driver = solve(p, driver, svd::team{threads, cancel}, f, q);
  result.rows = w.rows;
  result.cols = w.cols;
  result.rank = p.r();
  result.type = type;
  result.u = stored(f.u.data(), f.u.size(), type);
  result.vh = stored(f.vh.data(), f.vh.size(), type);
  result.sigma = std::move(f.sigma);
  result.residual = q.residual;
  result.orthogonality_u = q.orthogonality_u;
  result.orthogonality_v = q.orthogonality_v;
  result.milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return result;
}

void decompose_all(const std::vector<t2_matrix>& matrices, dtype type, svd_driver driver, int threads, const cancel_check& cancel,
                   const std::function<void(size_t, svd_result&&)>& on_result) {
  auto cost = [&](size_t i) {
    double r = std::min(matrices[i].rows, matrices[i].cols), c = std::max(matrices[i].rows, matrices[i].cols);
    return r * r * (c + 3 * r);
  };
  std::vector<size_t> order(matrices.size());
  std::iota(order.begin(), order.end(), size_t(0));
  // The costly ones first, so that the threads end together.
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return cost(a) > cost(b); });
  auto is_large = [&](size_t i) { return std::min(matrices[i].rows, matrices[i].cols) >= large; };
  const size_t large_ones = size_t(std::stable_partition(order.begin(), order.end(), is_large) - order.begin());

  std::mutex mutex;
  auto all = [&](size_t from, size_t to, int at_once, int threads_each) {
    svd::team{at_once, cancel}.run(int(to - from), [&](int task) {
      const size_t i = order[from + size_t(task)];
      svd_result result = decompose(matrices[i], type, driver, threads_each, cancel);
      std::lock_guard lock(mutex);
      on_result(i, std::move(result));
    });
  };
  // Parts of a decomposition are serial: more than four threads for one matrix are better spent on two.
  const int at_once = std::max(1, std::min(threads / 4, int(large_ones)));
  all(0, large_ones, at_once, threads / at_once);
  const int small_ones = int(order.size() - large_ones);
  all(large_ones, order.size(), threads, small_ones == 1 ? threads : 1);
}

}  // namespace t2
